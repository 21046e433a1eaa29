"""The FCOS head (arXiv 1904.01355); its weights are shared by all levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.model.config_files.schema import FCOSConfig
from edgeblend.model.layers import GroupNorm


class HeadOutput(NamedTuple):
    """What the head says about one level of (h, w) cells."""

    cls_logits: Tensor
    """(B, classes, h, w)."""
    box_reg: Tensor
    """(B, 4, h, w), not negative: left, top, right, bottom of the cell's location, in units of the stride."""
    centerness: Tensor
    """(B, 1, h, w) logits."""
    attention_features: Tensor
    """(B, C, h, w): what the attention layer reads."""


class FCOS(nn.Module):
    """Holds the head under the name that checkpoints give it."""

    def __init__(self, config: FCOSConfig, channels: int) -> None:
        super().__init__()
        self.fcos_head = FCOSHead(config, channels)


class FCOSHead(nn.Module):
    """Classes, boxes and centerness for every cell of every level."""

    def __init__(self, config: FCOSConfig, channels: int) -> None:
        super().__init__()
        self.in_features = config.in_features
        levels = len(config.in_features)
        self.cls_tower = Tower(channels, config.num_cls_convs, config.norm, levels)
        self.bbox_tower = Tower(channels, config.num_box_convs, config.norm, levels)
        self.share_tower = Tower(channels, config.num_share_convs, config.norm, levels)
        self.cls_logits = nn.Conv2d(channels, config.num_classes, 3, padding=1)
        self.bbox_pred = nn.Conv2d(channels, 4, 3, padding=1)
        self.ctrness = nn.Conv2d(channels, 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in range(levels)) if config.use_scale else None
        self._initialise(config.prior_prob)

    def forward(self, pyramid: Mapping[str, Tensor]) -> list[HeadOutput]:
        """Return one output for each level of the config, in its order."""
        return [self._level(pyramid[name], level) for level, name in enumerate(self.in_features)]

    def _level(self, feature: Tensor, level: int) -> HeadOutput:
        shared = self.share_tower(feature, level)
        cls_features = self.cls_tower(shared, level)
        box_features = self.bbox_tower(shared, level)
        box_reg = self.bbox_pred(box_features)
        if self.scales is not None:
            box_reg = self.scales[level](box_reg)
        return HeadOutput(
            self.cls_logits(cls_features), F.relu(box_reg), self.ctrness(box_features), box_features
        )

    def _initialise(self, prior_prob: float) -> None:
        """Start training with small weights and every class at the prior probability."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_small(module)
        nn.init.constant_(_bias(self.cls_logits), -math.log((1 - prior_prob) / prior_prob))


class Tower(nn.ModuleList):
    """``count`` times convolution, norm, ReLU; no convolution: what comes in.

    A batch norm is one for each level, although the convolutions are shared: an entry that is itself a list
    has one module for each level.
    """

    def __init__(self, channels: int, count: int, norm: str, levels: int) -> None:
        super().__init__()
        for _ in range(count):
            self.append(nn.Conv2d(channels, channels, 3, padding=1))
            if norm == "GN":
                self.append(GroupNorm(channels))
            elif norm != "none":
                self.append(nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(levels)))
            self.append(nn.ReLU())

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Return (B, channels, h, w) for a level counted from the finest."""
        for entry in self:
            x = entry[level](x) if isinstance(entry, nn.ModuleList) else entry(x)
        return x


class Scale(nn.Module):
    """One learned factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the input times the factor."""
        return x * self.scale


def init_small(conv: nn.Conv2d) -> None:
    """Start a head's convolution at N(0, 0.01), without bias."""
    if not conv.weight.is_meta:  # of which torch has no normal_ but that of its compiler: 2 s to import
        nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(_bias(conv))


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
