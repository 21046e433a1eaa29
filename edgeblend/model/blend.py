"""Blending in torch, with gradients: the paper's blender (arXiv 2001.00309, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def roi_align(bases: Tensor, boxes: Tensor, *, stride: int, size: int) -> Tensor:
    """Crop one picture's bases to boxes: aligned RoIAlign with one sample a bin.

    Samples below -1 or beyond the bases' size are 0; those up to one cell outside are taken at the border.

    Args:
        bases: (K, h, w) float32.
        boxes: (N, 4) float32 xyxy in network pixels.
        stride: network pixels a cell of the bases.
        size: cells a side that come out, R.

    Returns:
        (N, K, R, R).
    """
    channels, height, width = bases.shape
    if len(boxes) == 0:
        return bases.new_zeros(0, channels, size, size)
    steps = (torch.arange(size, device=boxes.device) + 0.5) / size
    # Cell centres lie at half cells: hence the shift by 0.5, "aligned".
    x = (boxes[:, 0:1] + steps * (boxes[:, 2:3] - boxes[:, 0:1])) / stride - 0.5  # (N, R)
    y = (boxes[:, 1:2] + steps * (boxes[:, 3:4] - boxes[:, 1:2])) / stride - 0.5
    inside = ((y >= -1) & (y <= height))[:, :, None] & ((x >= -1) & (x <= width))[:, None, :]
    grid = torch.stack(
        (
            (_to_unit(x, width))[:, None, :].expand(-1, size, -1),
            (_to_unit(y, height))[:, :, None].expand(-1, -1, size),
        ),
        dim=-1,
    )  # (N, R, R, 2)
    # One picture, and all boxes as one tall grid: the bases are not copied for each box.
    crops = F.grid_sample(
        bases[None], grid.reshape(1, -1, size, 2), mode="bilinear", padding_mode="border", align_corners=True
    )
    crops = crops.view(channels, len(boxes), size, size).transpose(0, 1)
    return crops * inside[:, None]


def _to_unit(coordinate: Tensor, size: int) -> Tensor:
    """Cells 0..size-1 to -1..1, as ``grid_sample`` counts with ``align_corners``."""
    return coordinate * (2.0 / max(size - 1, 1)) - 1.0


def gather_attention(layer: nn.Conv2d, features: Sequence[Tensor], pictures: Tensor, cells: Tensor) -> Tensor:
    """Return the attention (P, K * M * M) at some locations only; elsewhere nobody reads it.

    Args:
        layer: the 3x3 attention layer.
        features: a level's (B, C, h, w) attention features, for every level, finest first.
        pictures: (P,) int64, which picture of the batch.
        cells: (P,) int64, index over all levels' cells, finest level first, each row by row.
    """
    assert layer.bias is not None
    patches = torch.cat([_patches(feature, pictures, cells, *span) for feature, span in _spans(features)])
    order = torch.cat([_on_level(cells, *span).nonzero().flatten() for _, span in _spans(features)])
    # In the features' precision: the layer is a convolution, and autocast would run it so.
    weight, bias = layer.weight.flatten(1), layer.bias
    attention = F.linear(patches, weight.to(patches.dtype), bias.to(patches.dtype))
    return torch.empty_like(attention).index_copy(0, order, attention)


def _spans(features: Sequence[Tensor]) -> list[tuple[Tensor, tuple[int, int]]]:
    """Each level with the first of its cells and the first of the next level's."""
    spans, start = [], 0
    for feature in features:
        end = start + feature.shape[-2] * feature.shape[-1]
        spans.append((feature, (start, end)))
        start = end
    return spans


def _on_level(cells: Tensor, start: int, end: int) -> Tensor:
    return (cells >= start) & (cells < end)


def _patches(feature: Tensor, pictures: Tensor, cells: Tensor, start: int, end: int) -> Tensor:
    """(P', 9 * C) of the locations on this level, ordered (channel, ky, kx) as a convolution's weight is."""
    chosen = _on_level(cells, start, end)
    width = feature.shape[-1]
    picture, cell = pictures[chosen], cells[chosen] - start
    padded = F.pad(feature, (1, 1, 1, 1)).permute(0, 2, 3, 1)  # (B, h + 2, w + 2, C)
    offsets = torch.arange(3, device=cells.device)
    rows = (cell // width)[:, None, None] + offsets[None, :, None]
    columns = (cell % width)[:, None, None] + offsets[None, None, :]
    patches = padded[picture[:, None, None], rows, columns]  # (P', 3, 3, C)
    return patches.permute(0, 3, 1, 2).flatten(1)


def blend(crops: Tensor, attention: Tensor, *, interpolation: str) -> Tensor:
    """Weigh cropped bases with attention: mask logits (P, R, R).

    Args:
        crops: (P, K, R, R).
        attention: (P, K * M * M), channels ordered (K, M, M).
        interpolation: ``bilinear`` (half-pixel centres) or ``nearest``, from M to R.
    """
    count, bases, size, _ = crops.shape
    side = round((attention.shape[1] // bases) ** 0.5)
    maps = attention.view(count, bases, side, side)
    if interpolation == "bilinear":
        maps = F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)
    else:
        maps = F.interpolate(maps, size=(size, size), mode="nearest")
    return (crops * maps.softmax(dim=1)).sum(dim=1)
