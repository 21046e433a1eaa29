import math
from dataclasses import replace

import numpy as np
import pytest

from edgeblend.calibration.evaluation.agreement_totals import (
    AgreementTotals,
    compare_instances,
    region_iou,
    totals_of,
)
from edgeblend.errors import InputError
from edgeblend.results import Instances

LEFT, RIGHT = (0, 0, 8, 8), (10, 0, 18, 8)


def found(*items, probs=None):
    """Instances in a frame of 20x20 from (box, class, score); masks fill their boxes, a cell a pixel."""
    boxes = np.array([box for box, _, _ in items], np.float32).reshape(-1, 4)
    size = probs[0].shape[0] if probs is not None else 8
    filled = np.ones((len(items), size, size), np.float32)
    return Instances(
        boxes=boxes,
        scores=np.array([score for _, _, score in items], np.float32),
        classes=np.array([label for _, label, _ in items], np.int64),
        class_names=("cat", "dog"),
        mask_probs=filled if probs is None else np.stack(probs).astype(np.float32),
        mask_boxes=boxes,
        frame_size=(20, 20),
    )


def half(*, left):
    mask = np.zeros((8, 8))
    mask[:, slice(4) if left else slice(4, 8)] = 1
    return mask


def totals(reference, candidate, **options):
    return totals_of(compare_instances(reference, candidate, **options))


def test_what_is_identical_agrees_exactly():
    probs = list(np.random.default_rng(0).random((3, 8, 8)))
    one = found((LEFT, 0, 0.9), (RIGHT, 1, 0.41), (LEFT, 1, 0.4), probs=probs)
    frame = compare_instances(one, one)
    assert frame.pairs.tolist() == [[0, 0], [1, 1], [2, 2]]
    sums = totals_of(frame)
    assert (sums.agreement, sums.mask_iou, sums.score_drift, sums.score_distance) == (100, 1, 0, 0)
    assert (sums.matched, sums.lost, sums.invented, sums.class_flips) == (3, 0, 0, 0)
    assert frame.disagreement == 0


def test_nothing_agrees_with_nothing():
    sums = totals(found(), found())
    assert (sums.agreement, sums.matched) == (100, 0)
    assert math.isnan(sums.mask_iou) and math.isnan(sums.score_drift) and math.isnan(sums.score_distance)


def test_one_of_each_by_hand():
    # LEFT is found with the other half of its mask missing (IoU 1/2), RIGHT is lost, one is invented.
    reference = found((LEFT, 0, 0.9), (RIGHT, 1, 0.8))
    candidate = found((LEFT, 0, 0.7), ((0, 10, 8, 18), 0, 0.5), probs=[half(left=True), np.ones((8, 8))])
    frame = compare_instances(reference, candidate)
    assert (frame.pairs.tolist(), frame.lost.tolist(), frame.invented.tolist()) == ([[0, 0]], [1], [1])
    assert frame.mask_ious.tolist() == [0.5]
    sums = totals_of(frame)
    assert sums.agreement == pytest.approx(100 * 0.5 / (1 + 0.5 + 0.5))
    assert (sums.score_drift, sums.score_distance) == pytest.approx((-0.2, 0.2))
    assert frame.disagreement == pytest.approx(0.5 + 0.5 + 0.5)


def test_drift_has_a_sign_and_a_size():
    reference, candidate = (
        found((LEFT, 0, 0.5), (RIGHT, 0, 0.5)),
        found((LEFT, 0, 0.6), (RIGHT, 0, 0.4)),
    )
    sums = totals(reference, candidate)
    assert (sums.score_drift, sums.score_distance) == pytest.approx((0, 0.1), abs=1e-6)


def test_a_score_that_crosses_the_judged_one_is_matched():
    for first, second in ((0.41, 0.06), (0.06, 0.41)):
        sums = totals(found((LEFT, 0, first)), found((LEFT, 0, second)))
        assert (sums.matched, sums.lost, sums.invented) == (1, 0, 0)


def test_what_neither_is_sure_of_does_not_count():
    for candidate in (found((LEFT, 0, 0.39)), found((RIGHT, 0, 0.39)), found()):
        sums = totals(found((LEFT, 0, 0.39)), candidate)
        assert (sums.matched, sums.lost, sums.invented, sums.agreement) == (0, 0, 0, 100)


@pytest.mark.parametrize(("judged", "lost"), [(0.5, 1), (0.6, 0)])
def test_the_judged_score_is_an_option(judged, lost):
    assert totals(found((LEFT, 0, 0.55)), found(), judged_score=judged).lost == lost


@pytest.mark.parametrize(
    ("right", "matched"),
    [(4, 1), (3.9, 0)],  # of 8 columns: an IoU of exactly 1/2, and just below
)
def test_boxes_match_from_an_iou_of_one_half(right, matched):
    sums = totals(found((LEFT, 0, 0.9)), found(((0, 0, right, 8), 0, 0.9)))
    assert (sums.matched, sums.lost, sums.invented) == (matched, 1 - matched, 1 - matched)


def test_sure_ones_find_each_other_before_others_do():
    # The unsure one lies nearer, and would leave the sure ones lost and invented.
    reference = found((LEFT, 0, 0.9), ((1, 0, 9, 8), 0, 0.1))
    candidate = found(((1, 0, 9, 8), 0, 0.9))
    frame = compare_instances(reference, candidate)
    assert (frame.pairs.tolist(), len(frame.lost), len(frame.invented)) == ([[0, 0]], 0, 0)


def test_each_is_matched_once():
    twice = found((LEFT, 0, 0.9), ((1, 0, 9, 8), 0, 0.8))
    sums = totals(found((LEFT, 0, 0.9)), twice)
    assert (sums.matched, sums.lost, sums.invented) == (1, 0, 1)


def test_another_class_is_a_flip_that_is_lost_and_invented():
    frame = compare_instances(found((LEFT, 0, 0.9)), found((LEFT, 1, 0.9)))
    assert (frame.flips.tolist(), frame.lost.tolist(), frame.invented.tolist()) == ([[0, 0]], [0], [0])
    sums = totals_of(frame)
    assert (sums.class_flips, sums.agreement) == (1, 0)


def test_a_second_opinion_is_no_flip():
    # Both classes on one box in both: only their order by score changed.
    reference, candidate = (
        found((LEFT, 0, 0.9), (LEFT, 1, 0.4)),
        found((LEFT, 1, 0.9), (LEFT, 0, 0.4)),
    )
    sums = totals(reference, candidate)
    assert (sums.matched, sums.class_flips, sums.agreement) == (2, 0, 100)


def test_swapped_masks_lower_their_iou():
    both = found((LEFT, 0, 0.9), (RIGHT, 0, 0.8), probs=[half(left=True), half(left=False)])
    swapped = found((LEFT, 0, 0.9), (RIGHT, 0, 0.8), probs=[half(left=False), half(left=True)])
    assert totals(both, both).mask_iou == 1
    assert totals(both, swapped).mask_iou == totals(both, swapped).agreement == 0


def test_empty_masks_agree():
    empty = found((LEFT, 0, 0.9), probs=[np.zeros((8, 8))])
    assert totals(empty, empty).mask_iou == 1
    assert totals(empty, found((LEFT, 0, 0.9))).mask_iou == 0


def test_masks_are_compared_where_they_lie_in_the_frame():
    # The same cells over a box moved by 2 of 8 columns: 6 / 10, not 1.
    moved = totals(found((LEFT, 0, 0.9)), found(((2, 0, 10, 8), 0, 0.9)))
    assert moved.mask_iou == pytest.approx(0.6)


def mask(rows):
    return np.array(rows, bool)


@pytest.mark.parametrize(
    ("first", "second", "iou"),
    [
        ((0, 0, mask([[1, 1]])), (0, 1, mask([[1, 1]])), 1 / 3),
        ((0, 0, mask([[1, 1]])), (5, 5, mask([[1, 1]])), 0),
        ((3, 4, mask([[0, 1], [1, 1]])), (3, 4, mask([[0, 1], [1, 1]])), 1),
        ((3, 4, mask([[1, 0], [0, 0]])), (2, 3, mask([[0, 0], [0, 1]])), 1),  # the same pixel
        ((0, 0, mask([[0, 0]])), (7, 7, mask([[0]])), 1),
        ((0, 0, np.zeros((0, 0), bool)), (0, 0, np.zeros((0, 0), bool)), 1),
        ((0, 0, np.zeros((0, 0), bool)), (0, 0, mask([[1]])), 0),
    ],
)
def test_region_iou_by_hand(first, second, iou):
    assert region_iou(first, second) == region_iou(second, first) == pytest.approx(iou)


def test_region_iou_is_that_of_whole_frames():
    random = np.random.default_rng(0)
    for _ in range(20):
        frames, regions = [], []
        for _ in range(2):
            top, left = random.integers(0, 10, 2)
            part = random.random((8, 9)) < 0.6
            frame = np.zeros((20, 20), bool)
            frame[top : top + 8, left : left + 9] = part
            frames.append(frame)
            regions.append((int(top), int(left), part))
        expected = (frames[0] & frames[1]).sum() / (frames[0] | frames[1]).sum()
        assert region_iou(*regions) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["boxes", "scores", "mask_probs", "mask_boxes"])
def test_what_is_not_finite_is_refused(name):
    good, bad = found((LEFT, 0, 0.9)), found((LEFT, 0, 0.9))
    changed = replace(bad, **{name: np.full_like(getattr(bad, name), np.nan)})
    for pair in ((good, changed), (changed, good)):
        with pytest.raises(InputError, match=f"expected finite {name}"):
            compare_instances(*pair)


def test_totals_add_up():
    parts = [
        totals(found((LEFT, 0, 0.9)), found((LEFT, 0, 0.8))),
        totals(found((LEFT, 0, 0.9)), found()),
        totals(found(), found((RIGHT, 0, 0.9))),
    ]
    whole = sum(parts, AgreementTotals())
    assert (whole.frames, whole.matched, whole.lost, whole.invented) == (3, 1, 1, 1)
    assert whole.agreement == pytest.approx(50)
    assert whole.score_drift == pytest.approx(-0.1)
