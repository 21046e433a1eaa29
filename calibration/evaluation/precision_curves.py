"""Precision over recall of any number of detections, in the memory of those that match an object.

Precision is highest where a detection matches, so only those are points of the curve. They are sorted; of the
others it is enough to count how many come before each of them, a piece at a time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.coco_matches import Matches, Settings
from edgeblend.calibration.evaluation.kept import KeptBytes


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """What COCO's evaluation accumulates; -1 where a class has no objects."""

    precision: NDArray[np.float64]
    """(T, R, C, A) at IoU thresholds and recall thresholds, of classes and area ranges."""
    recall: NDArray[np.float64]
    """(T, C, A)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Detections as :class:`Matches` has them, for one area range: N, those of one class together."""

    classes: NDArray[np.int32]
    keys: NDArray[np.complex128]
    """(N,): sorted, they are in the order of evaluation."""
    matched: NDArray[np.bool_]
    """(T, N)."""
    false: NDArray[np.bool_]
    """(T, N)."""

    def at(self, chosen: NDArray[np.intp]) -> _Part:
        return _Part(self.classes[chosen], self.keys[chosen], self.matched[:, chosen], self.false[:, chosen])


class CurveTally:
    """Takes detections in pieces and keeps them on disk, some 30 bytes each."""

    def __init__(self, settings: Settings, objects: NDArray[np.int64]) -> None:
        """Start without detections.

        Args:
            settings: the evaluator's.
            objects: (C, A) how many objects count, by class and area range.

        Raises:
            OutputError: the temporary folder cannot be written.
        """
        self._settings, self._objects = settings, objects
        self._pieces = KeptBytes()

    def add(self, matches: Matches) -> None:
        """Take all detections of some images.

        Raises:
            OutputError: the disk is full.
        """
        piece = io.BytesIO()
        np.save(piece, matches.classes)
        np.save(piece, _keys(matches))
        for flags in (matches.matched, matches.false):
            np.save(piece, np.packbits(flags, axis=2))
        self._pieces.append(piece.getvalue())

    def curves(self) -> Curves:
        """Return precision and recall of all that came; the evaluator's own, to the last bit."""
        settings = self._settings
        shape = len(settings.iou_thresholds), len(settings.recall_thresholds), *self._objects.shape
        precision, recall = np.full(shape, -1.0), np.full((shape[0], *shape[2:]), -1.0)
        for area in range(shape[3]):
            hits, bounds = self._hits(area)
            before = self._false_before(area, hits, bounds)
            for index in np.flatnonzero(self._objects[:, area]).tolist():
                own = slice(*bounds[index : index + 2])
                for threshold in range(shape[0]):
                    matched = hits.matched[threshold, own]
                    precision[threshold, :, index, area], recall[threshold, index, area] = _curve(
                        before[threshold, own][matched],
                        int(self._objects[index, area]),
                        settings.recall_thresholds,
                    )
        return Curves(precision, recall)

    def _hits(self, area: int) -> tuple[_Part, NDArray[np.intp]]:
        """Return those that match at any threshold, in order, and where each class's begin and end."""
        matching = (part.at(np.flatnonzero(part.matched.any(axis=0))) for part in self._parts(area))
        hits = _joined([part for part in matching if len(part.classes)], len(self._settings.iou_thresholds))
        hits = hits.at(np.lexsort((hits.keys.imag, hits.keys.real, hits.classes)))
        return hits, np.searchsorted(hits.classes, np.arange(len(self._objects) + 1))

    def _false_before(self, area: int, hits: _Part, bounds: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return (T, H) how many false ones of its class come before each hit."""
        counts = np.zeros((len(hits.matched), len(hits.classes) + 1), np.int64)
        for part in self._parts(area):
            next_hit = np.empty(len(part.classes), np.intp)
            begins = np.flatnonzero(np.diff(part.classes, prepend=-1))
            for begin, end in zip(begins, [*begins[1:], len(part.classes)], strict=True):
                first, last = bounds[part.classes[begin] :][:2]
                place = first + np.searchsorted(hits.keys[first:last], part.keys[begin:end])
                # What comes after the last hit of its class makes no difference.
                next_hit[begin:end] = np.where(place < last, place, len(hits.classes))
            thresholds, columns = np.nonzero(part.false)
            np.add.at(counts, (thresholds, next_hit[columns]), 1)
        for first, last in zip(bounds[:-1], bounds[1:], strict=True):
            np.cumsum(counts[:, first:last], axis=1, out=counts[:, first:last])
        return counts[:, :-1]

    def _parts(self, area: int) -> Iterator[_Part]:
        for data in self._pieces:
            piece = io.BytesIO(data)
            classes, keys, *packed = (np.load(piece, allow_pickle=False) for _ in range(4))
            matched, false = (
                np.unpackbits(flags[area], axis=1, count=len(classes)).view(np.bool_) for flags in packed
            )
            yield _Part(classes, keys, matched, false)


def _joined(parts: Sequence[_Part], thresholds: int) -> _Part:
    flags = np.empty((thresholds, 0), np.bool_)
    return _Part(
        np.concatenate([np.empty(0, np.int32), *(part.classes for part in parts)]),
        np.concatenate([np.empty(0, np.complex128), *(part.keys for part in parts)]),
        np.concatenate([flags, *(part.matched for part in parts)], axis=1),
        np.concatenate([flags, *(part.false for part in parts)], axis=1),
    )


def _keys(matches: Matches) -> NDArray[np.complex128]:
    """Return what sorts by descending score, then by rank: complex numbers are sorted by both their parts."""
    keys = np.empty(len(matches.scores), np.complex128)
    keys.real, keys.imag = -matches.scores, matches.ranks
    return keys


def _curve(
    false_before: NDArray[np.int64], objects: int, recall_thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return precision at each recall threshold, and the recall of all.

    Args:
        false_before: (H,) how many false ones come before each that matches, in order.
        objects: how many there are to find.
        recall_thresholds: (R,) rising.
    """
    true = np.arange(1, len(false_before) + 1)
    precision = true / (true + false_before)
    at_least = np.maximum.accumulate(precision[::-1])[::-1]  # the best at this recall or a higher one
    reached = np.searchsorted(true / objects, recall_thresholds)
    return np.append(at_least, 0.0)[reached], len(true) / objects
