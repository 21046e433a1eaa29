"""ResNet-50 and -101 (arXiv 1512.03385), with deformable convolutions where the config asks for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.model.backbones.deform_conv import ModulatedDeformConv2d
from edgeblend.model.config_files.schema import ResNetConfig
from edgeblend.model.layers import ConvNorm

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_TAPS = 9


class ResNet(nn.Module):
    """Stages res2 to res5, at strides 4 to 32."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.out_channels = {f"res{n}": 64 << n for n in range(2, 6)}
        self.stem = Stem()
        in_channels = 64
        for index, blocks in enumerate(_BLOCKS[config.depth]):
            name = f"res{index + 2}"
            every = config.deform_interval if config.deform_stages[index] else 0
            stage = _stage(in_channels, 64 << index, blocks, config, deform_every=every)
            self.add_module(name, stage)
            in_channels = self.out_channels[name]

    @property
    def parts(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The stem, then a stage each."""
        return ((self.stem,), *((self.get_submodule(name),) for name in self.out_channels))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return res2..res5 of (B, 3, H, W)."""
        x: Tensor = self.stem(images)
        features = {}
        for name in self.out_channels:
            x = self.get_submodule(name)(x)
            features[name] = x
        return features


class Stem(nn.Module):
    """The first convolution and the pooling, to stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 64, 7, stride=2, norm=nn.BatchNorm2d(64))

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, 64, H / 4, W / 4)."""
        return F.max_pool2d(F.relu(self.conv1(images)), kernel_size=3, stride=2, padding=1)


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, and the way around them."""

    def __init__(self, in_channels: int, width: int, *, stride: int, stride_in_1x1: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        out_channels = 4 * width
        self.shortcut: ConvNorm | None = None
        if in_channels != out_channels:
            self.shortcut = _conv(in_channels, out_channels, 1, stride=stride)
        self.conv1 = _conv(in_channels, width, 1, stride=first)
        self._add_conv2(width, stride=second)
        self.conv3 = _conv(width, out_channels, 1)

    def _add_conv2(self, width: int, *, stride: int) -> None:
        self.conv2 = _conv(width, width, 3, stride=stride)

    def _middle(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 * width, h, w)."""
        inner = self.conv3(F.relu(self._middle(F.relu(self.conv1(x)))))
        around = x if self.shortcut is None else self.shortcut(x)
        return F.relu(inner + around)


class DeformBottleneck(Bottleneck):
    """A bottleneck whose 3x3 is deformable; ``conv2_offset`` predicts where and how strongly it looks."""

    def _add_conv2(self, width: int, *, stride: int) -> None:
        self.conv2_offset = nn.Conv2d(width, 3 * _TAPS, 3, stride=stride, padding=1)
        nn.init.zeros_(self.conv2_offset.weight)  # training starts from the ordinary taps
        nn.init.zeros_(self.conv2_offset.bias)  # type: ignore[arg-type]
        norm = nn.BatchNorm2d(width)
        self.conv2 = ModulatedDeformConv2d(width, width, stride=stride, norm=norm)  # type: ignore[assignment]

    def _middle(self, x: Tensor) -> Tensor:
        predicted = self.conv2_offset(x)
        offset, mask = predicted[:, : 2 * _TAPS], torch.sigmoid(predicted[:, 2 * _TAPS :])
        out: Tensor = self.conv2.norm(self.conv2(x, offset, mask))
        return out


def _conv(in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1) -> ConvNorm:
    return ConvNorm(in_channels, out_channels, kernel_size, stride=stride, norm=nn.BatchNorm2d(out_channels))


def _stage(
    in_channels: int, width: int, blocks: int, config: ResNetConfig, *, deform_every: int
) -> nn.Sequential:
    """One stage; with ``deform_every`` i above 0 the blocks 0, i, 2i, ... are deformable."""
    stage = nn.Sequential()
    for index in range(blocks):
        deform = deform_every > 0 and index % deform_every == 0
        block = DeformBottleneck if deform else Bottleneck
        stride = 2 if index == 0 and width > 64 else 1  # the stem has brought res2 to its stride
        stage.append(block(in_channels, width, stride=stride, stride_in_1x1=config.stride_in_1x1))
        in_channels = 4 * width
    return stage
