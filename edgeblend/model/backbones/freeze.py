"""What of a backbone training leaves as it is."""

from __future__ import annotations

from torch import nn

from edgeblend.model.blendmask import BlendMask


def freeze_backbone(network: BlendMask) -> None:
    """Fix the first ``freeze_at`` parts of the backbone, and with ``FrozenBN`` all of its batch norms.

    A fixed batch norm uses its statistics and does not change them; call this after every ``train()``.
    """
    bottom_up = network.backbone.bottom_up
    config = network.config.backbone
    for part in bottom_up.parts[: config.freeze_at]:
        for module in part:
            module.requires_grad_(False).eval()
    if config.norm == "FrozenBN":
        for module in bottom_up.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False).eval()
