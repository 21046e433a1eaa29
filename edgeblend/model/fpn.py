"""The feature pyramid (arXiv 1612.03144) over a backbone, with the levels above P5 that FCOS adds."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.model.backbones.registry import build_bottom_up
from edgeblend.model.config_files.schema import BackboneConfig, FPNConfig


class FPN(nn.Module):
    """Backbone stages in, levels of equal channels out; P<n> has stride 2**n."""

    def __init__(self, config: FPNConfig, backbone: BackboneConfig) -> None:
        super().__init__()
        self.in_features = config.in_features
        bottom_up = build_bottom_up(backbone)
        for stage in config.in_features:
            n, channels = stage[-1], config.out_channels
            self.add_module(f"fpn_lateral{n}", nn.Conv2d(bottom_up.out_channels[stage], channels, 1))
            self.add_module(f"fpn_output{n}", nn.Conv2d(channels, channels, 3, padding=1))
        self.top_block = TopLevels(config.out_channels, config.top_levels)
        self.bottom_up = bottom_up

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the levels, finest first, of (B, 3, H, W) with H and W multiples of 32."""
        stages = self.bottom_up(images)
        levels: dict[str, Tensor] = {}
        merged: Tensor | None = None
        for stage in reversed(self.in_features):
            n = stage[-1]
            lateral = self.get_submodule(f"fpn_lateral{n}")(stages[stage])
            merged = lateral if merged is None else lateral + F.interpolate(merged, scale_factor=2.0)
            levels[f"p{n}"] = self.get_submodule(f"fpn_output{n}")(merged)
        finest_first = dict(reversed(levels.items()))
        return {**finest_first, **self.top_block(levels["p5"])}


class TopLevels(nn.Module):
    """P6 from P5, and P7 from P6, each by a convolution of stride 2."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.names = tuple(f"p{6 + i}" for i in range(levels))
        for name in self.names:
            self.add_module(name, nn.Conv2d(channels, channels, 3, stride=2, padding=1))

    def forward(self, p5: Tensor) -> dict[str, Tensor]:
        """Return the levels; an odd size is rounded up."""
        levels: dict[str, Tensor] = {}
        x = p5
        for name in self.names:
            x = levels[name] = self.get_submodule(name)(F.relu(x) if levels else x)
        return levels
