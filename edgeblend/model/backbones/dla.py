"""DLA-34: deep layer aggregation (arXiv 1707.06484)."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.model.config_files.schema import DLAConfig
from edgeblend.model.layers import conv_batch_norm_relu


class DLA34(nn.Module):
    """Stages level2 to level5, at strides 4 to 32."""

    def __init__(self, config: DLAConfig) -> None:
        super().__init__()
        del config  # its norm says how the network was trained, not what it computes
        self.out_channels = {"level2": 64, "level3": 128, "level4": 256, "level5": 512}
        self.base_layer = conv_batch_norm_relu(3, 16, 7)
        self.level0 = conv_batch_norm_relu(16, 16)
        self.level1 = conv_batch_norm_relu(16, 32, stride=2)
        self.level2 = Tree(32, 64, stride=2)
        self.level3 = DeepTree(64, 128)
        self.level4 = DeepTree(128, 256)
        self.level5 = Tree(256, 512, stride=2, level_root=True)

    @property
    def parts(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The levels before level2, then a level each."""
        stem = (self.base_layer, self.level0, self.level1)
        return (stem, *((self.get_submodule(name),) for name in self.out_channels))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return level2..level5 of (B, 3, H, W)."""
        x: Tensor = self.level1(self.level0(self.base_layer(images)))
        features = {}
        for name in self.out_channels:
            x = self.get_submodule(name)(x)
            features[name] = x
        return features


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the residual joins before the last ReLU."""

    norm_pairs: ClassVar = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return (B, channels, h, w); ``residual`` has that shape too."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + residual)


class Root(nn.Module):
    """Aggregates the outputs of a tree's nodes by a 1x1 convolution."""

    norm_pairs: ClassVar = (("conv", "bn"),)

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, *nodes: Tensor) -> Tensor:
        """Return (B, channels, h, w) of nodes whose channels add up to the input channels."""
        return F.relu(self.bn(self.conv(torch.cat(nodes, dim=1))))


class Tree(nn.Module):
    """A tree of depth 1: two blocks under a root, which also sees ``children``."""

    def __init__(
        self, in_channels: int, channels: int, *, stride: int = 1, level_root: bool = False, children: int = 0
    ) -> None:
        super().__init__()
        self.stride, self.level_root = stride, level_root
        self.tree1 = BasicBlock(in_channels, channels, stride=stride)
        self.tree2 = BasicBlock(channels, channels)
        self.root = Root(2 * channels + children + (in_channels if level_root else 0), channels)
        self.project = _project(in_channels, channels) if in_channels != channels else None

    def forward(self, x: Tensor, *children: Tensor) -> Tensor:
        """Return (B, channels, h / stride, w / stride)."""
        bottom = _pool(x, self.stride)
        residual = bottom if self.project is None else self.project(bottom)
        if self.level_root:
            children = (*children, bottom)
        x1 = self.tree1(x, residual)
        x2 = self.tree2(x1, x1)
        out: Tensor = self.root(x2, x1, *children)
        return out


class DeepTree(nn.Module):
    """A tree of depth 2 with the level root, at stride 2: what enters it goes, pooled, to the last root."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.tree1 = Tree(in_channels, channels, stride=2)
        self.tree2 = Tree(channels, channels, children=in_channels + channels)
        # Checkpoints hold this; nothing reads it, because the nested trees compute their own residuals.
        self.project = _project(in_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, h / 2, w / 2)."""
        x1 = self.tree1(x)
        out: Tensor = self.tree2(x1, _pool(x, 2), x1)
        return out


def _project(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels))


def _pool(x: Tensor, stride: int) -> Tensor:
    return F.max_pool2d(x, stride) if stride > 1 else x
