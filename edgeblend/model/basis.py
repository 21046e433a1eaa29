"""The basis module: from three pyramid levels to the K bases (arXiv 2001.00309, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.model.config_files.schema import BasisConfig
from edgeblend.model.layers import conv_batch_norm_relu


class BasisModule(nn.Module):
    """Bases at half the stride of the finest level that it reads."""

    def __init__(self, config: BasisConfig, channels: int) -> None:
        super().__init__()
        dim = config.convs_dim
        self.refine = nn.ModuleList(conv_batch_norm_relu(channels, dim) for _ in config.in_features)
        self.tower = nn.Sequential(
            *(conv_batch_norm_relu(dim, dim) for _ in range(config.num_convs)),
            nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
            conv_batch_norm_relu(dim, dim),
            nn.Conv2d(dim, config.num_bases, 1),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return (B, K, 2h, 2w) of levels in the config's order, the first (B, C, h, w)."""
        refined = [refine(feature) for refine, feature in zip(self.refine, features, strict=True)]
        x = refined[0]
        for coarse in refined[1:]:
            x = x + F.interpolate(coarse, size=x.shape[-2:], mode="bilinear", align_corners=False)
        bases: Tensor = self.tower(x)
        return bases
