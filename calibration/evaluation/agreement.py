"""How far two sets of instances agree, without labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeblend.masks.boxes import box_iou_batch
from edgeblend.results import Instances

_PLATEAU = 1e-3
"""Mask cells this near 0.5 in either set are left out: samples outside the bases are 0, which makes
a probability of exactly 0.5, where rounding alone decides."""


def match_instances(
    reference: Instances, candidate: Instances, *, min_box_iou: float, max_score_difference: float = np.inf
) -> NDArray[np.int64]:
    """Pair instances of the same class, greedily by falling box IoU, each at most once.

    Args:
        reference: N instances.
        candidate: M instances of the same frame.
        min_box_iou: a pair's IoU must be above this.
        max_score_difference: a pair's scores differ by no more than this.

    Returns:
        (P, 2) indices into reference and candidate.
    """
    iou = box_iou_batch(reference.boxes, candidate.boxes)
    allowed = (reference.classes[:, None] == candidate.classes[None, :]) & (iou > min_box_iou)
    allowed &= np.abs(reference.scores[:, None] - candidate.scores[None, :]) <= max_score_difference
    return pair_greedily(iou, allowed)


def pair_greedily(iou: NDArray[np.float32], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (P, 2) rows and columns of an (N, M) table, paired by descending IoU where allowed."""
    rows, columns = np.nonzero(allowed)
    pairs: list[tuple[int, int]] = []
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    for index in np.argsort(-iou[rows, columns], kind="stable"):
        row, column = int(rows[index]), int(columns[index])
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            pairs.append((row, column))
    return np.asarray(sorted(pairs), np.int64).reshape(-1, 2)


def mask_iou_of_pairs(
    reference: Instances, candidate: Instances, pairs: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the (P,) mask IoU of matched instances, on their R x R cells.

    It compares shapes inside the box, so it means something for pairs whose boxes coincide. A mask with a
    cell that is not finite agrees with nothing.
    """
    first, second = reference.mask_probs[pairs[:, 0]], candidate.mask_probs[pairs[:, 1]]
    decided = (np.abs(first - 0.5) > _PLATEAU) & (np.abs(second - 0.5) > _PLATEAU)
    intersection = ((first >= 0.5) & (second >= 0.5) & decided).sum(axis=(1, 2))
    union = (((first >= 0.5) | (second >= 0.5)) & decided).sum(axis=(1, 2))
    finite = (np.isfinite(first) & np.isfinite(second)).all(axis=(1, 2))
    iou = np.where(union > 0, intersection / np.maximum(union, 1), 1.0)
    return np.where(finite, iou, 0.0).astype(np.float32)
