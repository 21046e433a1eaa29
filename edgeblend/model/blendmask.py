"""The whole network, cut where a converter cuts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.model.basis import BasisModule
from edgeblend.model.config_files.schema import ModelConfig
from edgeblend.model.fcos import FCOS, HeadOutput, init_small
from edgeblend.model.fpn import FPN
from edgeblend.model.semantic import SemanticHead

SIZE_DIVISOR = 32
"""The coarsest backbone stage has this stride; images are padded to a multiple of it."""


class BlendMask(nn.Module):
    """BlendMask (arXiv 2001.00309). Parameter names are those of the published checkpoints.

    There is no ``forward``: the parts run on different devices, in different precisions, and not always.
    Every part can be traced with ``torch.jit.trace`` for sizes that change.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.fpn.out_channels
        for name in ("pixel_mean", "pixel_std"):  # from the config, never from a checkpoint
            value = torch.tensor(getattr(config.input, name)).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)
        self.backbone = FPN(config.fpn, config.backbone)
        self.proposal_generator = FCOS(config.fcos, channels)
        self.basis_module = BasisModule(config.basis, channels)
        self.panoptic_module = None if config.semantic is None else SemanticHead(config.semantic, channels)
        attention = config.basis.num_bases * config.blend.attention_size**2
        self.top_layer = nn.Conv2d(channels, attention, 3, padding=1)
        init_small(self.top_layer)

    def normalize(self, images_bgr: Tensor) -> Tensor:
        """Return the network's input: (B, 3, H', W') float32 of (B, H, W, 3) uint8 BGR.

        H' and W' are the next multiples of 32; what is added, right and below, is 0 after normalisation.
        """
        x = (images_bgr.permute(0, 3, 1, 2).to(self.pixel_mean.dtype) - self.pixel_mean) / self.pixel_std
        # Remainders of what is not negative: tensor libraries disagree about the others.
        bottom, right = ((SIZE_DIVISOR - size % SIZE_DIVISOR) % SIZE_DIVISOR for size in x.shape[-2:])
        return F.pad(x, (0, right, 0, bottom))

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """Return the levels of a normalised (B, 3, H', W'), finest first: ``p3`` ..., panoptic ``p2`` ..."""
        levels: dict[str, Tensor] = self.backbone(images)
        return levels

    def head(self, pyramid: Mapping[str, Tensor]) -> list[HeadOutput]:
        """Return what the head says about each level of ``config.fcos.in_features``, in that order."""
        outputs: list[HeadOutput] = self.proposal_generator.fcos_head(pyramid)
        return outputs

    def attention(self, features: Tensor) -> Tensor:
        """Return (B, K * M * M, h, w), channels ordered (K, M, M), of a level's ``attention_features``."""
        out: Tensor = self.top_layer(features)
        return out

    def basis(self, features: Sequence[Tensor]) -> Tensor:
        """Return the bases (B, K, H' / 4, W' / 4) of the levels ``config.basis.in_features``, in order."""
        bases: Tensor = self.basis_module(features)
        return bases

    def semantic(self, pyramid: Mapping[str, Tensor]) -> Tensor:
        """Return semantic logits (B, classes, H' / 4, W' / 4), before upsampling; panoptic only."""
        if self.panoptic_module is None:
            raise ValueError(f"the config {self.config.name} has no semantic branch")
        logits: Tensor = self.panoptic_module(pyramid)
        return logits


def build_network(config: ModelConfig) -> BlendMask:
    """Return the network of a config in eval mode, with random weights."""
    return BlendMask(config).eval()


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every parameter and running statistic that a checkpoint must hold."""
    with torch.device("meta"):  # no memory, no random numbers
        return parameter_shapes(build_network(config))


def parameter_shapes(network: BlendMask) -> dict[str, tuple[int, ...]]:
    """Return name and shape of what a checkpoint must hold for this network."""
    state = network.state_dict()
    return {name: tuple(t.shape) for name, t in state.items() if not name.endswith("num_batches_tracked")}
