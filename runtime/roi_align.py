"""RoIAlign of the bases: one sample a bin, half-pixel aligned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PRODUCT_SIZE = 1 << 18
"""Multiplications in one matrix product, at most. Beyond, OpenBLAS wakes its threads, and those wait for
cores that an engine holds: 300 boxes then took 55 ms on two busy cores, against 20 on one thread."""


def roi_align(
    bases: NDArray[np.float32], boxes: NDArray[np.float32], *, spatial_scale: float, output_size: int
) -> NDArray[np.float32]:
    """Sample the bases on an R x R grid over each box.

    A box is scaled and shifted by half a cell, because cell i covers [i, i + 1] and its value stands at
    i + 0.5. The centre of each of R x R bins is sampled bilinearly: at 0 where it lies in [-1, 0], at
    size - 1 where it lies beyond that, and as zero below -1 and above the size.

    Bilinear sampling on a grid is separable, so a box is two small matrix products over the crop of the
    bases that it covers. The loop over boxes is deliberate: for 100 mixed boxes over (4, 128, 184) on one
    core it takes 3.9 ms, against 7 to 10 ms for gathering all samples of all boxes at once, and it
    costs less the smaller the boxes are.

    Args:
        bases: (K, h, w).
        boxes: (N, 4) xyxy in network pixels, possibly beyond the bases.
        spatial_scale: cells of the bases a network pixel.
        output_size: R.

    Returns:
        (N, K, R, R) float32.
    """
    bases = np.ascontiguousarray(bases, np.float32)
    num_bases, height, width = bases.shape
    rois = np.empty((len(boxes), num_bases, output_size, output_size), np.float32)
    rows, row_kept = _samples(boxes[:, 1], boxes[:, 3], spatial_scale, output_size, height)
    columns, column_kept = _samples(boxes[:, 0], boxes[:, 2], spatial_scale, output_size, width)
    row_spans = _spans(rows, height)
    column_spans = _spans(columns, width)
    for index, roi in enumerate(rois):
        top, bottom = row_spans[index]
        left, right = column_spans[index]
        row_weights = _weights(rows[index], row_kept[index], top, bottom)
        column_weights = _weights(columns[index], column_kept[index], left, right)
        stretched = np.empty((num_bases, bottom - top, output_size), np.float32)
        _multiply(bases[:, top:bottom, left:right], column_weights.T, out=stretched)
        _multiply(row_weights, stretched, out=roi)
    return rois


def _multiply(left: NDArray[np.float32], right: NDArray[np.float32], *, out: NDArray[np.float32]) -> None:
    """Matrix product of stacks, in pieces that OpenBLAS does not spread over threads."""
    step = max(_PRODUCT_SIZE // (right.shape[-2] * right.shape[-1]), 1)
    for start in range(0, out.shape[-2], step):
        rows = slice(start, start + step)
        np.matmul(left[..., rows, :], right, out=out[..., rows, :])


def _samples(
    low: NDArray[np.float32], high: NDArray[np.float32], scale: float, count: int, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sample positions along one axis, (N, R) within [0, size - 1], and 1 where they count, else 0."""
    start = low * np.float32(scale) - np.float32(0.5)
    step = (high - low) * np.float32(scale / count)
    bins = np.arange(count, dtype=np.float32) + np.float32(0.5)
    positions: NDArray[np.float32] = start[:, None] + step[:, None] * bins
    kept = (positions >= -1) & (positions <= size)
    np.clip(positions, 0, size - 1, out=positions)
    return positions, kept.astype(np.float32)


def _spans(positions: NDArray[np.float32], size: int) -> list[list[int]]:
    """For each row of positions the range of cells [first, last + 1) that bilinear sampling reads."""
    first = positions.min(axis=1).astype(np.int64)
    stop = np.minimum(positions.max(axis=1).astype(np.int64) + 2, size)
    spans: list[list[int]] = np.stack([first, stop], axis=1).tolist()
    return spans


def _weights(
    positions: NDArray[np.float32], kept: NDArray[np.float32], first: int, stop: int
) -> NDArray[np.float32]:
    """(R, stop - first): how much of each cell a sample takes, a hat of width one around its position."""
    cells = np.arange(first, stop, dtype=np.float32)
    weights = np.subtract(positions[:, None], cells, dtype=np.float32)
    np.abs(weights, out=weights)
    np.subtract(1, weights, out=weights)
    np.maximum(weights, 0, out=weights)
    weights *= kept[:, None]
    return weights
