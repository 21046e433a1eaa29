"""Class-wise non-maximum suppression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 256
"""Number of boxes decided at once. Larger blocks compare boxes that would be suppressed anyway, when all
are of one class; smaller blocks make more rounds."""


def class_wise_nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    *,
    iou_threshold: float,
    max_kept: int,
) -> NDArray[np.int64]:
    """Keep the best box of each group that overlaps, class by class.

    Boxes are taken by descending score. A kept box suppresses the later boxes of its class whose IoU with it
    is above the threshold. Classes are compared apart and not by shifting their boxes, which would cost
    float32 most of its fraction at the eightieth class.

    Args:
        boxes: (N, 4) xyxy in any one frame of pixels; areas are taken without +1.
        scores: (N,).
        classes: (N,).
        iou_threshold: a lower box goes when its IoU is strictly greater.
        max_kept: how many to keep; ties with the last one are kept as well.

    Returns:
        Indices into the input by descending score; equal scores stay in the order of the input.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores, classes = boxes[order], scores[order], classes[order]
    kept = np.empty(0, np.int64)
    for start in range(0, len(order), _BLOCK):
        if len(kept) >= max_kept and scores[start] < scores[kept[max_kept - 1]]:
            break
        block = np.arange(start, min(start + _BLOCK, len(order)))
        kept = np.concatenate([kept, block[_standing(boxes, classes, kept, block, iou_threshold)]])
    if len(kept) > max_kept:
        kept = kept[scores[kept] >= scores[kept[max_kept - 1]]]
    return order[kept]


def _standing(
    boxes: NDArray[np.float32],
    classes: NDArray[np.int64],
    kept: NDArray[np.int64],
    block: NDArray[np.int64],
    iou_threshold: float,
) -> NDArray[np.bool_]:
    """Return which boxes of a block stand beside the kept ones, all of which are better."""
    candidates = np.concatenate([kept, block])
    keys = classes[candidates] * 2
    keys[len(kept) :] += 1  # of a class the kept ones first
    by_class = np.argsort(keys, kind="stable")
    better, lower = _pairs(keys[by_class])
    overlap = _overlapping(boxes[candidates[by_class]], better, lower, iou_threshold)
    better, lower = by_class[better[overlap]], by_class[lower[overlap]]
    # Greedy suppression is the one fixed point of "a box stands unless a better one that stands overlaps it";
    # repeating that settles at least one more box a time, and in practice nearly all at once.
    stands = np.ones(len(candidates), bool)
    while True:
        now = np.ones(len(candidates), bool)
        now[lower[stands[better]]] = False
        if np.array_equal(now, stands):
            return stands[len(kept) :]
        stands = now


def _pairs(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of boxes that may suppress each other, the better one and the lower one.

    Sorted by class, the boxes that a box may suppress are one contiguous range: of 5000 candidates of 80
    classes some 60. Keys are even for boxes that are kept already, and one more for the others of that class.

    Args:
        keys: (m,), ascending.
    """
    start = np.maximum(np.searchsorted(keys, keys | 1), np.arange(1, len(keys) + 1))
    counts = np.searchsorted(keys, keys | 1, side="right") - start
    lower = (start - counts.cumsum() + counts).repeat(counts)
    lower += np.arange(len(lower))
    return np.arange(len(keys)).repeat(counts), lower


def _overlapping(
    boxes: NDArray[np.float32], one: NDArray[np.int64], other: NDArray[np.int64], iou_threshold: float
) -> NDArray[np.int64]:
    """Return the indices of the pairs whose IoU is above the threshold."""
    x0, y0, x1, y1 = np.ascontiguousarray(boxes.T)
    areas = (x1 - x0) * (y1 - y0)
    widths = np.minimum(x1.take(one), x1.take(other))
    widths -= np.maximum(x0.take(one), x0.take(other))
    side_by_side = np.flatnonzero(widths > 0)  # most pairs are not
    widths, one, other = widths[side_by_side], one[side_by_side], other[side_by_side]
    heights = np.minimum(y1.take(one), y1.take(other))
    heights -= np.maximum(y0.take(one), y0.take(other))
    shared = widths * np.maximum(heights, 0, out=heights)
    union = areas.take(other) + areas.take(one) - shared
    # A product and not a quotient: two boxes without area have IoU 0/0 and must not suppress.
    overlapping: NDArray[np.int64] = side_by_side[shared > union * iou_threshold]
    return overlapping
