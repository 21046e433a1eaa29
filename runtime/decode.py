"""Detector outputs to detections: thresholds, top k per level, boxes, non-maximum suppression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeblend.errors import EngineError, InputError
from edgeblend.runtime.nms import class_wise_nms
from edgeblend.spec import DecodeSpec, LevelSpec


@dataclass(frozen=True, slots=True, eq=False)
class LevelOutputs:
    """Outputs of the detector's head on one pyramid level; any strides, no batch axis."""

    cls_logits: NDArray[np.float32]
    """(C, h, w), before the sigmoid."""
    box_reg: NDArray[np.float32]
    """(4, h, w): left, top, right, bottom distances in units of the stride, after the ReLU."""
    centerness: NDArray[np.float32]
    """(1, h, w), before the sigmoid."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The N detections of one frame, sorted by descending score."""

    boxes: NDArray[np.float32]
    """(N, 4) xyxy in network pixels, not clipped to the frame."""
    scores: NDArray[np.float32]
    """(N,): the square root of class probability times centerness."""
    classes: NDArray[np.int64]
    """(N,)."""
    levels: NDArray[np.int64]
    """(N,): index into the spec's levels."""
    cells: NDArray[np.int64]
    """(N, 2): row and column on that level."""

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> Detections:
        """Return the detections at the given indices or where the mask is true."""
        return Detections(
            self.boxes[index], self.scores[index], self.classes[index], self.levels[index], self.cells[index]
        )


_FARTHEST = 1e18
"""Largest distance from a location to a side of its box, in network pixels: float32 holds such areas."""

_NO_INDICES = np.empty(0, np.int64)
_NOTHING = Detections(
    boxes=np.empty((0, 4), np.float32),
    scores=np.empty(0, np.float32),
    classes=np.empty(0, np.int64),
    levels=np.empty(0, np.int64),
    cells=np.empty((0, 2), np.int64),
)


@dataclass(frozen=True, slots=True)
class _Floor:
    """Values that a candidate must exceed; a negative floor lets everything through."""

    class_prob: float
    product: float


def decode(
    levels: Sequence[LevelOutputs], spec: DecodeSpec, *, score_threshold: float | None = None
) -> Detections:
    """Turn the head's outputs into detections, as the checkpoint was evaluated.

    Args:
        levels: the head's outputs, one per level of the spec, in its order.
        spec: thresholds and limits of the model.
        score_threshold: when given, replaces the spec's threshold and looks at the *reported* score:
            detections above it are returned. May be lower than what the spec lets through.

    Returns:
        Detections in network pixels; ties with the last of ``spec.max_detections`` are all kept.

    Raises:
        EngineError: the outputs do not fit the spec, or hold NaN or infinity where it matters.
        InputError: the threshold is not within [0, 1).
    """
    if len(levels) != len(spec.levels):
        raise EngineError(
            f"expected outputs of {len(spec.levels)} levels, got {len(levels)}; rebuild the bundle"
        )
    floor = _floor(spec, score_threshold)
    for outputs, level in zip(levels, spec.levels, strict=True):
        _check_shapes(outputs, level, spec.num_classes)
    parts = [
        _decode_level(outputs, bar, index, spec, floor)
        for index, (outputs, bar) in enumerate(zip(levels, _bars(levels, spec, floor), strict=True))
    ]
    # Most levels, and many a frame, have nothing; concatenating one part would only copy it.
    parts = [part for part in parts if len(part)]
    if not parts:
        return _NOTHING.select(_NO_INDICES)  # arrays of the caller's own
    found = parts[0] if len(parts) == 1 else _joined(parts)
    kept = class_wise_nms(
        found.boxes,
        found.scores,
        found.classes,
        iou_threshold=spec.nms_threshold,
        max_kept=spec.max_detections,
    )
    return found.select(kept)


def _joined(parts: Sequence[Detections]) -> Detections:
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.levels for part in parts]),
        np.concatenate([part.cells for part in parts]),
    )


def _floor(spec: DecodeSpec, score_threshold: float | None) -> _Floor:
    if score_threshold is None:
        if spec.threshold_with_centerness:
            return _Floor(class_prob=-1.0, product=spec.score_threshold)
        return _Floor(class_prob=spec.score_threshold, product=-1.0)
    if not 0 <= score_threshold < 1:
        raise InputError(f"expected a score threshold within [0, 1), got {score_threshold}")
    return _Floor(class_prob=-1.0, product=score_threshold**2)


def _decode_level(
    outputs: LevelOutputs, bar: NDArray[np.float32], index: int, spec: DecodeSpec, floor: _Floor
) -> Detections:
    level = spec.levels[index]
    candidates = _candidates(outputs, bar)
    if not len(candidates):
        return _NOTHING
    classes, cells = np.divmod(candidates, outputs.centerness.size)
    rows, columns = np.divmod(cells, outputs.centerness.shape[2])
    logits = outputs.cls_logits[classes, rows, columns]
    _check_finite(logits, "cls_logits", level)

    class_probs = _sigmoid(logits)
    products = class_probs * _sigmoid(outputs.centerness[0, rows, columns])
    exact = np.flatnonzero((class_probs > floor.class_prob) & (products > floor.product))
    best = exact[_top_k(products[exact], spec.pre_nms_top_k)]
    return Detections(
        boxes=_boxes(outputs.box_reg, rows[best], columns[best], level),
        scores=np.sqrt(products[best]),
        classes=classes[best],
        levels=np.full(len(best), index, np.int64),
        cells=np.stack([rows[best], columns[best]], axis=1),
    )


def _candidates(outputs: LevelOutputs, bar: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return flat indices into (C, h, w) of logits above their location's bar, and of every NaN, ascending.

    One comparison per logit; only the few that pass need a sigmoid.
    """
    by_cell = outputs.cls_logits.transpose(1, 2, 0)
    if by_cell.flags.c_contiguous:  # as engines with channels last give it: read in memory order
        cells, classes = np.divmod(_exceeding(by_cell, bar[:, :, None]), by_cell.shape[2])
        return np.sort(classes * bar.size + cells)
    return _exceeding(outputs.cls_logits, bar)


def _exceeding(logits: NDArray[np.float32], bar: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the flat indices of logits above the bar."""
    # "Not below" and not "above": a NaN must come out as a candidate, to be reported.
    below = np.less_equal(logits, bar)
    if below.all():  # as on most levels of most frames
        return _NO_INDICES
    return np.flatnonzero(np.logical_not(below, out=below))


def _bars(levels: Sequence[LevelOutputs], spec: DecodeSpec, floor: _Floor) -> Iterator[NDArray[np.float32]]:
    """Yield each level's bar (h, w); made for all of them at once, since there are few locations."""
    joined = np.concatenate([outputs.centerness.ravel() for outputs in levels])
    if not np.isfinite(joined).all():
        for outputs, level in zip(levels, spec.levels, strict=True):
            _check_finite(outputs.centerness, "centerness", level)
    bar = _bar(joined, floor)
    start = 0
    for outputs in levels:
        size = outputs.centerness.size
        yield bar[start : start + size].reshape(outputs.centerness.shape[1:])
        start += size


def _bar(centerness: NDArray[np.float32], floor: _Floor) -> NDArray[np.float32]:
    """Return the value that a class logit must exceed at each location, a little loosened.

    sigmoid(x) * sigmoid(c) > p means sigmoid(x) > p * (1 + exp(-c)).
    """
    needed = np.exp(-np.maximum(centerness, np.float32(-80)))  # as in _sigmoid
    needed += 1
    needed *= floor.product
    np.maximum(needed, floor.class_prob, out=needed)
    # What rounding does here is far less; the exact test is still to come.
    needed *= 1 - 1e-4
    with np.errstate(divide="ignore", invalid="ignore"):
        bar: NDArray[np.float32] = np.log(needed / (1 - needed))
    bar[needed <= 0] = -np.inf
    bar[needed >= 1] = np.inf
    return bar


def _top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the indices of the k best; of ties at the last place the first, so that it is repeatable."""
    if len(scores) <= k:
        return np.arange(len(scores))
    last = np.partition(scores, -k)[-k]
    above = np.flatnonzero(scores > last)
    ties = np.flatnonzero(scores == last)[: k - len(above)]
    return np.sort(np.concatenate([above, ties]))


def _boxes(
    box_reg: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64], level: LevelSpec
) -> NDArray[np.float32]:
    distances = box_reg[:, rows, columns].T.astype(np.float32)  # (n, 4): l, t, r, b
    _check_finite(distances, "box_reg", level)
    _check_distances(distances, level)
    centres = np.stack([columns, rows], axis=1) * level.stride + level.stride // 2
    distances *= level.stride
    return np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1, dtype=np.float32)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # exp overflows float32 beyond 88; at 80 the result is 2e-35 either way.
    probs = np.negative(np.maximum(logits, np.float32(-80)), dtype=np.float32)
    np.exp(probs, out=probs)
    probs += 1
    return np.reciprocal(probs, out=probs)


def _check_shapes(outputs: LevelOutputs, level: LevelSpec, num_classes: int) -> None:
    grid = outputs.cls_logits.shape[1:]
    expected = ((num_classes, *grid), (4, *grid), (1, *grid))
    actual = (outputs.cls_logits.shape, outputs.box_reg.shape, outputs.centerness.shape)
    if len(grid) != 2 or actual != expected:
        raise EngineError(
            f"level {level.name}: expected cls_logits ({num_classes}, h, w), box_reg (4, h, w) and "
            f"centerness (1, h, w), got {actual[0]}, {actual[1]} and {actual[2]}; rebuild the bundle"
        )


def _check_distances(distances: NDArray[np.float32], level: LevelSpec) -> None:
    if np.abs(distances).max(initial=0) > _FARTHEST / level.stride:
        raise EngineError(
            f"level {level.name}: box_reg holds {distances.flat[np.abs(distances).argmax()]:.1e}, expected "
            f"distances of less than {_FARTHEST:.0e} pixels; convert the checkpoint again"
        )


def _check_finite(values: NDArray[np.float32], role: str, level: LevelSpec) -> None:
    if not np.isfinite(values).all():
        raise EngineError(
            f"level {level.name}: {role} holds non-finite values; the engine's precision may be too low, "
            "try the float32 bundle"
        )
