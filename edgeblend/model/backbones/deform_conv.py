"""Modulated deformable convolution (DCNv2, arXiv 1811.11168) in plain torch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ModulatedDeformConv2d(nn.Module):
    """A convolution whose taps are moved by offsets and weighted by a mask, both given for every output cell.

    One offset group, no bias of its own; :mod:`edgeblend.model.fold` gives it one. The batch norm that
    follows is its child ``norm`` because checkpoints name it so; whoever calls this module applies it, so
    that ``forward`` is the bare operator and an exporter can map the module as a unit.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int = 1,
        dilation: int = 1,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.register_parameter("bias", None)
        self.norm = nn.Identity() if norm is None else norm
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        """Return the convolution at the moved taps.

        Args:
            x: (B, in, H, W).
            offset: (B, 2 * k * k, h, w) in input cells: y0, x0, y1, x1, ... over the taps in row order.
            mask: (B, k * k, h, w), the weight of each tap.

        Returns:
            (B, out, h, w); (h, w) is the size a convolution of this stride and padding gives.
        """
        taps = self.kernel_size**2
        height, width = offset.shape[-2:]
        grid = self._sampling_grid(x, offset)  # (B, taps * h, w, 2)
        # Of the four neighbours of a sample those outside the map count as 0: padding_mode "zeros".
        samples = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        samples = samples.reshape(x.shape[0], x.shape[1], taps, height, width) * mask.unsqueeze(1)
        columns = samples.flatten(1, 2).flatten(2)  # (B, in * taps, h * w)
        out = self.weight.flatten(1) @ columns
        out = out.reshape(x.shape[0], -1, height, width)
        return out if self.bias is None else out + self.bias.view(-1, 1, 1)

    def _sampling_grid(self, x: Tensor, offset: Tensor) -> Tensor:
        """Where to sample, (B, taps * h, w, 2) as (x, y), -1 and 1 being the outer edges of the map."""
        height, width = offset.shape[-2:]
        moved = offset.reshape(x.shape[0], -1, 2, height, width)  # (B, taps, (y, x), h, w)
        tap = torch.arange(self.kernel_size, dtype=x.dtype, device=x.device) * self.dilation - self.padding
        tap_y = tap.repeat_interleave(self.kernel_size).view(-1, 1, 1)
        tap_x = tap.repeat(self.kernel_size).view(-1, 1, 1)
        cell_y = torch.arange(height, dtype=x.dtype, device=x.device).view(-1, 1) * self.stride
        cell_x = torch.arange(width, dtype=x.dtype, device=x.device) * self.stride
        sample_y = moved[:, :, 0] + (tap_y + cell_y)  # (B, taps, h, w), input cells
        sample_x = moved[:, :, 1] + (tap_x + cell_x)
        # Cell i has its centre at (2 i + 1) / size - 1.
        grid = torch.stack(((2 * sample_x + 1) / x.shape[3] - 1, (2 * sample_y + 1) / x.shape[2] - 1), dim=-1)
        return grid.flatten(1, 2)
