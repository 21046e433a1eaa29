"""Mask probabilities over a box to mask pixels of a frame.

The R x R grid is stretched over the box and read bilinearly at pixel centres, x + 0.5; cells beyond
the grid count as zero, so that values fade over half a cell on either side of the box's edge. Only that
region is ever computed: the cost follows the box and not the frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeblend.errors import InputError

# Pixels resampled at once: few enough that a block's temporaries stay in cache, and that the allocator keeps
# their memory; from 128 KB on the system takes it back, and clearing it again took half of the time.
_BLOCK = 1 << 14


def paste_region(
    probs: NDArray[np.float32], box: ArrayLike, frame_size: tuple[int, int], *, threshold: float = 0.5
) -> tuple[int, int, NDArray[np.bool_]]:
    """Paste one mask, and return only the part of the frame that it can reach.

    Args:
        probs: (R, R) probabilities over the box.
        box: (4,) xyxy in frame pixels; may reach beyond the frame, is then cut at it.
        frame_size: (height, width).
        threshold: pixels at or above it are set.

    Returns:
        Row and column of the region's first pixel in the frame, and the mask (hh, ww). The region is
        empty for a box without area or outside the frame.

    Raises:
        InputError: the box is not four finite numbers.
    """
    rows, columns = _axes(probs, box, frame_size)
    mask = np.empty((len(rows.lower), len(columns.lower)), bool)
    _paste(probs, rows, columns, threshold, out=mask)
    return rows.start, columns.start, mask


def paste_probs_region(
    probs: NDArray[np.float32], box: ArrayLike, frame_size: tuple[int, int]
) -> tuple[int, int, NDArray[np.float32]]:
    """Return what ``paste_region`` thresholds: the region's first row and column, and (hh, ww) float32."""
    rows, columns = _axes(probs, box, frame_size)
    pasted = np.empty((len(rows.lower), len(columns.lower)), np.float32)
    for block, values in _resample(probs, rows, columns):
        pasted[block] = values
    return rows.start, columns.start, pasted


def paste_masks(
    probs: NDArray[np.float32],
    boxes: NDArray[np.float32],
    frame_size: tuple[int, int],
    *,
    threshold: float = 0.5,
) -> NDArray[np.bool_]:
    """Paste N masks (N, R, R) into boxes (N, 4) on whole frames: (N, height, width) bool."""
    masks = np.zeros((len(probs), *frame_size), bool)
    for mask, prob, box in zip(masks, probs, boxes, strict=True):
        rows, columns = _axes(prob, box, frame_size)
        _paste(prob, rows, columns, threshold, out=mask[rows.pixels, columns.pixels])
    return masks


def _paste(
    probs: NDArray[np.float32], rows: _Axis, columns: _Axis, threshold: float, *, out: NDArray[np.bool_]
) -> None:
    for block, values in _resample(probs, rows, columns):
        np.greater_equal(values, threshold, out=out[block])


@dataclass(frozen=True, slots=True)
class _Axis:
    """The pixels of one axis that a mask reaches, and where each lies on the padded grid."""

    start: int
    lower: NDArray[np.int64]
    fraction: NDArray[np.float32]

    @property
    def pixels(self) -> slice:
        """Where they are in the frame."""
        return slice(self.start, self.start + len(self.lower))


def _axes(probs: NDArray[np.float32], box: ArrayLike, frame_size: tuple[int, int]) -> tuple[_Axis, _Axis]:
    x0, y0, x1, y1 = corners = _corners(box)
    if not all(map(math.isfinite, corners)):
        raise InputError(f"expected a box of four finite numbers, got {corners}")
    height, width = frame_size
    return _axis(y0, y1, probs.shape[0], height), _axis(x0, x1, probs.shape[1], width)


def _corners(box: ArrayLike) -> tuple[float, float, float, float]:
    corners = np.asarray(box, np.float64)
    if corners.shape != (4,):
        raise InputError(f"expected a box of shape (4,), got {corners.shape}")
    x0, y0, x1, y1 = corners.tolist()
    return x0, y0, x1, y1


def _axis(low: float, high: float, cells: int, size: int) -> _Axis:
    cell = (high - low) / cells
    start = max(math.ceil(low - cell / 2 - 0.5), 0)
    stop = min(math.floor(high + cell / 2 - 0.5) + 1, size)
    if cell <= 0 or stop <= start:
        return _Axis(0, np.empty(0, np.int64), np.empty(0, np.float32))
    # Cell i of the grid is i + 1 of the padded one: 0.5 for its centre, 1 for the padding, less the
    # half that makes a cell's centre an integer position.
    position = (np.arange(start, stop) + 0.5 - low) / cell + 0.5
    lower = position.astype(np.int64)
    # Rounding may put the outermost pixels beyond the grid, by nothing that shows.
    np.minimum(lower, cells, out=lower)
    np.maximum(lower, 0, out=lower)
    return _Axis(start, lower, (position - lower).astype(np.float32))


def _resample(
    probs: NDArray[np.float32], rows: _Axis, columns: _Axis
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield the resampled region in blocks of rows; a yielded block may be overwritten.

    Interpolates as a + (b - a) * t, which leaves a plateau of equal probabilities exactly equal; there
    are such plateaus at the threshold, 0.5, where RoIAlign sampled beyond the bases.
    """
    if not len(rows.lower) or not len(columns.lower):
        return
    padded = np.zeros((probs.shape[0] + 2, probs.shape[1] + 2), np.float32)
    padded[1:-1, 1:-1] = probs
    # Columns first: R + 2 short rows here, so that the long pass below copies whole rows.
    stretched = padded.take(columns.lower, axis=1)
    changes = padded.take(columns.lower + 1, axis=1)
    changes -= stretched
    changes *= columns.fraction
    stretched += changes
    np.subtract(stretched[1:], stretched[:-1], out=changes[:-1])
    step = max(1, _BLOCK // len(columns.lower))
    for start in range(0, len(rows.lower), step):
        block = slice(start, start + step)
        lower = rows.lower[block]
        values = stretched.take(lower, axis=0)
        towards = changes.take(lower, axis=0)
        towards *= rows.fraction[block, None]
        values += towards
        yield block, values
