"""Convolutions with their norms, as the backbones and heads share them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GROUPS = 32
"""Every group norm has 32 groups; all norms use torch's default eps, 1e-5."""


class GroupNorm(nn.GroupNorm):
    """A group norm of 32 groups that can be traced for sizes that change without a warning.

    torch's own checks in Python, on every call, that the batch is large enough to train on.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input's shape, normalised."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class ConvNorm(nn.Conv2d):
    """A convolution without bias and its norm, which is its child ``norm``."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, norm: nn.Module
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, h, w), normalised."""
        out: Tensor = self.norm(super().forward(x))
        return out


def conv_batch_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1
) -> nn.Sequential:
    """Return convolution, batch norm and ReLU, numbered 0, 1, 2."""
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
