"""The semantic branch of panoptic models (arXiv 1901.02446, section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.model.config_files.schema import SemanticConfig
from edgeblend.model.layers import ConvNorm, GroupNorm


class SemanticHead(nn.Module):
    """Brings every level to stride 4, adds them up and classifies each cell."""

    def __init__(self, config: SemanticConfig, channels: int) -> None:
        super().__init__()
        self.in_features = config.in_features
        for name in config.in_features:
            self.add_module(name, _to_stride_4(channels, config.convs_dim, doublings=int(name[1:]) - 2))
        self.predictor = nn.Conv2d(config.convs_dim, config.num_classes, 1)

    def forward(self, pyramid: Mapping[str, Tensor]) -> Tensor:
        """Return logits (B, classes, H / 4, W / 4); upsampled four times they are the network's map."""
        total: Tensor | None = None
        for name in self.in_features:
            branch = self.get_submodule(name)(pyramid[name])
            total = branch if total is None else total + branch
        logits: Tensor = self.predictor(total)
        return logits


def _to_stride_4(channels: int, dim: int, *, doublings: int) -> nn.Sequential:
    """One block for each doubling, and one block where there is none; parameters are numbered 0, 2, 4."""
    branch = nn.Sequential()
    for index in range(max(1, doublings)):
        branch.append(_Block(channels if index == 0 else dim, dim))
        if doublings:
            branch.append(nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False))
    return branch


class _Block(ConvNorm):
    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(in_channels, channels, 3, norm=GroupNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))
