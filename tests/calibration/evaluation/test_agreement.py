from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeblend.calibration.evaluation.agreement import mask_iou_of_pairs, match_instances
from edgeblend.results import Instances


def instances(boxes, classes, scores=None, probs=None) -> Instances:
    count = len(boxes)
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Instances(
        boxes=boxes,
        scores=np.asarray(scores if scores is not None else [0.5] * count, np.float32),
        classes=np.asarray(classes, np.int64),
        class_names=("cat", "dog"),
        mask_probs=np.asarray(probs if probs is not None else np.ones((count, 2, 2)), np.float32),
        mask_boxes=boxes,
        frame_size=(20, 20),
    )


def test_each_instance_is_matched_once_the_best_pair_first() -> None:
    reference = instances([[0, 0, 10, 10], [1, 0, 11, 10]], [0, 0])
    candidate = instances([[1, 0, 11, 10]], [0])
    assert match_instances(reference, candidate, min_box_iou=0.5).tolist() == [[1, 0]]


def test_another_class_does_not_match() -> None:
    one = instances([[0, 0, 10, 10]], [0])
    assert len(match_instances(one, instances([[0, 0, 10, 10]], [1]), min_box_iou=0.5)) == 0


def test_another_score_does_not_match() -> None:
    one, other = instances([[0, 0, 9, 9]], [0], [0.5]), instances([[0, 0, 9, 9]], [0], [0.6])
    assert len(match_instances(one, other, min_box_iou=0.5, max_score_difference=0.05)) == 0
    assert len(match_instances(one, other, min_box_iou=0.5, max_score_difference=0.2)) == 1


def test_nothing_matches_nothing() -> None:
    none = instances(np.zeros((0, 4)), [])
    assert match_instances(none, none, min_box_iou=0.5).shape == (0, 2)
    assert match_instances(none, instances([[0, 0, 9, 9]], [0]), min_box_iou=0.5).shape == (0, 2)


@pytest.mark.parametrize("where", ["boxes", "scores"])
def test_what_is_not_finite_matches_nothing(where) -> None:
    good = instances([[0, 0, 9, 9]], [0])
    broken = replace(good, **{where: np.full_like(getattr(good, where), np.nan)})
    for pair in ((good, broken), (broken, good), (broken, broken)):
        assert len(match_instances(*pair, min_box_iou=0.0)) == 0


@pytest.mark.parametrize(
    ("first", "second", "iou"),
    [
        ([[1, 1], [0, 0]], [[1, 1], [0, 0]], 1.0),
        ([[1, 1], [0, 0]], [[1, 0], [0, 0]], 0.5),
        ([[1, 1], [0, 0]], [[0, 0], [1, 1]], 0.0),
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]], 1.0),
        ([[1, 0.5], [0, 0]], [[1, 1], [0, 0]], 1.0),  # a cell on the threshold decides nothing
        ([[np.nan, np.nan], [np.nan, np.nan]], [[1, 1], [0, 0]], 0.0),
        ([[1, 1], [0, 0]], [[1, 1], [0, np.nan]], 0.0),
        ([[np.inf, 1], [0, 0]], [[np.inf, 1], [0, 0]], 0.0),
    ],
)
def test_mask_iou_by_hand(first, second, iou) -> None:
    box = [[0, 0, 4, 4]]
    pairs = np.array([[0, 0]])
    result = mask_iou_of_pairs(instances(box, [0], probs=[first]), instances(box, [0], probs=[second]), pairs)
    assert result.tolist() == [iou]
