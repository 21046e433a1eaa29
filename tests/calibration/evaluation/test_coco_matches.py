"""What the evaluator's matches of a few images say, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgeblend.calibration.evaluation.coco_matches import evaluator_settings, match_detections

A, TINY = (10, 10, 50, 50), (100, 100, 110, 110)  # 1600 pixels, medium; 100, small
SIZES = {1: (120, 160), 2: (120, 160)}
ALL, SMALL, MEDIUM, LARGE = range(4)
AT_50, AT_95 = 0, -1


def thing(image, box, category=1, *, crowd=0):
    x0, y0, x1, y1 = box
    bbox = [x0, y0, x1 - x0, y1 - y0]
    return {
        "image_id": image,
        "category_id": category,
        "bbox": bbox,
        "area": bbox[2] * bbox[3],
        "iscrowd": crowd,
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
    }


def seen(image, box, score, category=1):
    return {**thing(image, box, category), "score": score}


def test_settings_are_those_of_coco():
    settings = evaluator_settings("segm")
    assert settings.iou_thresholds == pytest.approx(np.arange(10) / 20 + 0.5)
    assert settings.recall_thresholds == pytest.approx(np.arange(101) / 100)
    assert settings.area_ranges.tolist() == [[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]]
    assert settings.max_detections == 100


@pytest.mark.parametrize("kind", ["bbox", "segm", "boundary"])
def test_true_false_and_ignored_ones(kind):
    again = (10, 10, 50, 48)
    matches = match_detections(
        kind, SIZES, [thing(1, A)], [seen(1, TINY, 0.7), seen(1, A, 0.9), seen(1, again, 0.8)]
    )
    assert matches.scores.tolist() == [0.9, 0.8, 0.7]
    assert matches.matched[ALL, AT_50].tolist() == [True, False, False]
    assert matches.false[ALL, AT_50].tolist() == [False, True, True]
    assert matches.false[MEDIUM, AT_50].tolist() == [False, True, False]
    assert matches.false[SMALL, AT_50].tolist() == [False, False, True]
    assert not matches.matched[SMALL].any()
    assert not (matches.matched | matches.false)[LARGE].any()


def test_a_threshold_that_is_not_reached():
    matches = match_detections("bbox", SIZES, [thing(1, A)], [seen(1, (10, 10, 50, 47), 0.9)])
    assert (matches.matched[ALL, AT_50, 0], matches.false[ALL, AT_50, 0]) == (True, False)
    assert (matches.matched[ALL, AT_95, 0], matches.false[ALL, AT_95, 0]) == (False, True)


def test_a_crowd_takes_any_number_without_counting():
    found = [seen(1, A, 0.9), seen(1, A, 0.8)]
    matches = match_detections("segm", SIZES, [thing(1, A, crowd=1)], found)
    assert not (matches.matched | matches.false).any()


def test_classes_together_and_ranks_by_image():
    found = [
        seen(2, A, 0.5, category=3),
        seen(2, A, 0.5),
        seen(1, A, 0.4, category=3),
        seen(1, A, 0.6),
        seen(1, TINY, 0.6),
    ]
    matches = match_detections("bbox", SIZES, [thing(2, A, category=3)], found)
    assert matches.classes.tolist() == [0, 0, 0, 2, 2]
    assert matches.scores.tolist() == [0.6, 0.6, 0.5, 0.4, 0.5]
    assert matches.ranks.tolist() == [100, 101, 200, 100, 200]
    assert matches.matched[ALL, AT_50].tolist() == [False, False, False, False, True]


def test_a_hundred_of_a_class_and_image():
    found = [seen(1, TINY, 0.9)] * 100 + [seen(1, A, 0.5), seen(2, A, 0.5)]
    matches = match_detections("bbox", SIZES, [thing(1, A), thing(2, A)], found)
    assert len(matches.scores) == 101
    assert matches.matched[ALL, AT_50].nonzero()[0].tolist() == [100]


def test_a_mask_without_an_object_of_its_class_is_not_looked_at():
    found = [{**seen(1, A, 0.9), "segmentation": "of another class"}, seen(1, A, 0.8, category=2)]
    matches = match_detections("boundary", SIZES, [thing(1, A, category=2)], found)
    assert matches.matched[ALL, AT_50].tolist() == [False, True]
