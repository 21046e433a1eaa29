"""Precision over recall of any number of detections, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.coco_matches import Matches, Settings
from edgeblend.calibration.evaluation.sorted_records import Records, SortedRecords

_AT_A_TIME = 1 << 11


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """What COCO's evaluation accumulates; -1 where a class has no objects."""

    precision: NDArray[np.float64]
    """(T, R, C, A) at IoU thresholds and recall thresholds, of classes and area ranges."""
    recall: NDArray[np.float64]
    """(T, C, A)."""


class CurveTally:
    """Takes detections in pieces and keeps them on disk, 30 bytes each."""

    def __init__(self, settings: Settings, objects: NDArray[np.int64]) -> None:
        """Start without detections.

        Args:
            settings: the evaluator's.
            objects: (C, A) how many objects count, by class and area range.

        Raises:
            OutputError: the temporary folder cannot be written.
        """
        self._settings, self._objects = settings, objects
        self._shape = len(settings.area_ranges), len(settings.iou_thresholds)
        flags = (np.uint8, ((self._shape[0] * self._shape[1] + 7) // 8,))
        fields = [("group", np.int32), ("key", np.complex128), ("matched", *flags), ("false", *flags)]
        self._detections = SortedRecords(np.dtype(fields))
        self._fields = np.dtype(fields)

    def add(self, matches: Matches) -> None:
        """Take all detections of some images.

        Raises:
            OutputError: the disk is full.
        """
        records = np.empty(len(matches.scores), self._fields)
        records["group"] = matches.classes
        # By descending score, then by rank: complex numbers are ordered by both their parts.
        records["key"].real, records["key"].imag = -matches.scores, matches.ranks
        records["matched"], records["false"] = _packed(matches.matched), _packed(matches.false)
        self._detections.add(records)

    def curves(self) -> Curves:
        """Return precision and recall of all that came: the evaluator's own, to the last bit.

        Raises:
            OutputError: the disk is full.
        """
        classes, recalls = len(self._objects), len(self._settings.recall_thresholds)
        # Of each class so far, and the best precision where so many recall thresholds are reached.
        true, false = (np.zeros((classes, *self._shape), np.int64) for _ in range(2))
        best = np.zeros((classes, *self._shape, recalls))
        for index, matched, unmatched in self._in_order():
            self._follow(index, matched, unmatched, true[index], false[index], best[index])
        at_least = np.maximum.accumulate(best[..., ::-1], axis=3)[..., ::-1]  # at this recall or a higher one
        objects = self._objects[:, :, None]
        precision = np.where(objects[..., None] > 0, at_least, -1)
        recall = np.where(objects > 0, true / np.maximum(objects, 1), -1)
        return Curves(precision.transpose(2, 3, 0, 1), recall.transpose(2, 0, 1))

    def _follow(
        self,
        index: int,
        matched: NDArray[np.bool_],
        unmatched: NDArray[np.bool_],
        true: NDArray[np.int64],
        false: NDArray[np.int64],
        best: NDArray[np.float64],
    ) -> None:
        """Take the next (A, T, N) of a class into its counts (A, T) and best precisions (A, T, R)."""
        trues = true[..., None] + np.cumsum(matched, axis=2)
        falses = false[..., None] + np.cumsum(unmatched, axis=2)
        true[...], false[...] = trues[..., -1], falses[..., -1]
        areas, thresholds, _ = places = np.nonzero(matched)  # the others only lower precision
        precision = trues[places] / (trues[places] + falses[places])
        recall = trues[places] / self._objects[index, areas]
        reached = np.searchsorted(self._settings.recall_thresholds, recall, side="right") - 1
        np.maximum.at(best, (areas, thresholds, reached), precision)

    def _in_order(self) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
        """Yield some detections of a class in order, as (A, T, N) which are matched and which are false."""
        for records in self._detections:
            for start in range(0, len(records), _AT_A_TIME):
                some = records[start : start + _AT_A_TIME]
                begins = np.flatnonzero(np.diff(some["group"], prepend=-1))
                for own in np.split(some, begins[1:]):
                    yield int(own["group"][0]), self._unpacked(own, "matched"), self._unpacked(own, "false")

    def _unpacked(self, records: Records, field: str) -> NDArray[np.bool_]:
        count = self._shape[0] * self._shape[1]
        flags = np.unpackbits(records[field], axis=1, count=count).view(np.bool_)
        return np.ascontiguousarray(flags.T).reshape(*self._shape, -1)


def _packed(flags: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return (A, T, N) flags as (N, bytes)."""
    return np.packbits(flags.reshape(-1, flags.shape[2]).T, axis=1)
