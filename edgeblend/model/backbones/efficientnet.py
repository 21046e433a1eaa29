"""EfficientNet-Lite0 (after arXiv 1905.11946): ReLU6 and no squeeze-and-excite, for integer devices."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.model.config_files.schema import EfficientNetLiteConfig

STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel size, stride of the first block, expansion and channels of each run of blocks."""

_STEM_CHANNELS = 32
_EPS = 1e-3  # what the ImageNet weights were trained with


class EfficientNetLite0(nn.Module):
    """The feature extractor of EfficientNet-Lite0; stage ``stage<n>`` has stride 2**n.

    Its layers pad as TensorFlow does (``SAME``): for stride 2 and even sizes one more on the right and
    below than on the left and above. The ImageNet weights expect it, and TFLite has it built in.
    """

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__()
        self.out_channels: dict[str, int] = {"stage2": 24, "stage3": 40, "stage4": 112, "stage5": 320}
        self.stem = SameConv(3, _STEM_CHANNELS, 3, stride=2)
        self.blocks = nn.ModuleList()
        self._ends: dict[int, str] = {}
        channels, stride = _STEM_CHANNELS, 2
        for count, kernel_size, first_stride, expansion, out_channels in STAGES:
            stride *= first_stride
            for index in range(count):
                self.blocks.append(
                    InvertedResidual(
                        channels,
                        out_channels,
                        kernel_size,
                        stride=first_stride if index == 0 else 1,
                        expansion=expansion,
                    )
                )
                channels = out_channels
            # The last block of a stride is the stage: a later run of the same stride takes its place.
            name = f"stage{stride.bit_length() - 1}"
            self._ends = {end: stage for end, stage in self._ends.items() if stage != name}
            self._ends[len(self.blocks) - 1] = name

    @property
    def parts(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The layers before stage 2, then those of each stage."""
        ends = [0, *(end + 1 for end, stage in self._ends.items())]
        runs = [tuple(self.blocks[start:end]) for start, end in pairwise(ends)]
        return ((self.stem, *runs[0]), *runs[1:])

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return stages 2 to 5 of (B, 3, H, W), H and W multiples of 32."""
        x = F.relu6(self.stem(images))
        stages: dict[str, Tensor] = {}
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._ends and self._ends[index] in self.out_channels:
                stages[self._ends[index]] = x
        return stages


class InvertedResidual(nn.Module):
    """Expand by a 1x1, filter each channel, project by a 1x1; add the input where shapes allow."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = SameConv(in_channels, hidden, 1) if expansion != 1 else None
        self.depthwise = SameConv(hidden, hidden, kernel_size, stride=stride, groups=hidden)
        self.project = SameConv(hidden, out_channels, 1)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, h, w); no activation follows the projection."""
        hidden = x if self.expand is None else F.relu6(self.expand(x))
        out: Tensor = self.project(F.relu6(self.depthwise(hidden)))
        return x + out if self.residual else out


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as ``SAME`` for sizes its stride divides, and its batch norm."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        total = max(kernel_size - stride, 0)
        before, after = total // 2, total - total // 2
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=before if before == after else 0,
            groups=groups,
            bias=False,
        )
        self.uneven = () if before == after else (before, after, before, after)
        self.norm = nn.BatchNorm2d(out_channels, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, h / stride, w / stride), normalised."""
        x = F.pad(x, self.uneven) if self.uneven else x
        if self._slow_in_bfloat16(x):
            with torch.autocast("cpu", enabled=False):
                out: Tensor = self.norm(super().forward(x.float()))
        else:
            out = self.norm(super().forward(x))
        return out

    def _slow_in_bfloat16(self, x: Tensor) -> bool:
        """Whether this is a 5x5 depthwise convolution trained in mixed precision on a CPU.

        Its gradient takes 1.6 to 4 times as long in bfloat16 as in float32 (torch 2.13): half of a step.
        """
        wide = self.groups > 1 and self.kernel_size[0] > 3
        return wide and x.device.type == "cpu" and x.requires_grad and torch.is_autocast_enabled("cpu")
