"""Curves of detections that come in pieces, by hand. Parity with the evaluator is in test_accuracy."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgeblend.calibration.evaluation import sorted_records
from edgeblend.calibration.evaluation.coco_matches import Matches, Settings
from edgeblend.calibration.evaluation.precision_curves import CurveTally

SETTINGS = Settings(
    iou_thresholds=np.array([0.5]),
    recall_thresholds=np.array([0.0, 0.5, 1.0]),
    area_ranges=np.array([[0.0, 1e10]]),
    max_detections=100,
)


def piece(*detections, ranks=None):
    """Detections as (class, score, "true", "false" or "ignored")."""
    classes, scores, verdicts = zip(*detections, strict=True)
    return Matches(
        np.array(classes, np.int32),
        np.array(scores, np.float64),
        np.array(range(len(scores)) if ranks is None else ranks, np.int64),
        np.array([[[verdict == "true" for verdict in verdicts]]]),
        np.array([[[verdict == "false" for verdict in verdicts]]]),
    )


def curves(*pieces, objects=(2,)):
    tally = CurveTally(SETTINGS, np.array(objects, np.int64)[:, None])
    for item in pieces:
        tally.add(item)
    found = tally.curves()
    return found.precision[0, :, :, 0].T.tolist(), found.recall[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("false_rank", "precision"),
    # By descending score: false, true, then the two that score 0.5.
    [(3, [2 / 3, 2 / 3, 2 / 3]), (1, [1 / 2, 1 / 2, 1 / 2])],
    ids=["the true one first", "the false one first"],
)
def test_pieces_in_any_order(false_rank, precision):
    pieces = [
        piece((0, 0.9, "false"), (0, 0.5, "true"), ranks=[1, 2]),
        piece((0, 0.7, "true"), (0, 0.5, "false"), ranks=[0, false_rank]),
    ]
    for given in (pieces, pieces[::-1]):
        assert curves(*given) == ([pytest.approx(precision)], [1.0])


def test_false_ones_after_the_last_true_one_and_ignored_ones_make_no_difference():
    given = [(0, 0.9, "ignored"), (0, 0.8, "true"), (0, 0.7, "false"), (0, 0.6, "ignored")]
    assert curves(piece(*given)) == ([[1.0, 1.0, 0.0]], [0.5])


def test_classes_do_not_meet():
    given = piece((0, 0.5, "true"), (1, 0.9, "false"), (2, 0.1, "false"), (2, 0.05, "true"))
    precision, recall = curves(given, objects=(1, 1, 1, 1))
    assert precision == [[1.0] * 3, [0.0] * 3, [0.5] * 3, [0.0] * 3]
    assert recall == [1.0, 0.0, 1.0, 0.0]


def test_a_class_without_objects():
    assert curves(piece((0, 0.9, "false")), objects=(0,)) == ([[-1.0] * 3], [-1.0])


def test_nothing_found():
    assert curves() == ([[0.0] * 3], [0.0])


def test_memory_does_not_grow(monkeypatch):
    count = 2000
    monkeypatch.setattr(sorted_records, "RUN", count)
    monkeypatch.setattr(sorted_records, "CHUNK", 250)

    def peak(pieces):
        tally = CurveTally(SETTINGS, np.array([[2]]))
        tracemalloc.start()
        try:
            tally.add(piece((0, 0.4, "true")))
            for number in range(pieces):
                ranks = number * count + np.arange(count)
                tally.add(piece(*[(0, 0.5, "false")] * count, ranks=ranks))
            found = tally.curves()
            return found.precision.max(), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    (_, few), (precision, many) = peak(2), peak(40)
    assert precision == pytest.approx(1 / (40 * count + 1))
    assert many < few + 15 * (40 - 2) * count  # less than half of what they take on disk
