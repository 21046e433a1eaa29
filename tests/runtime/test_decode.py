import msgspec
import numpy as np
import pytest

from edgeblend.errors import EngineError, InputError
from edgeblend.runtime.decode import LevelOutputs, decode
from edgeblend.spec import DecodeSpec, LevelSpec

SPEC = DecodeSpec(
    levels=(LevelSpec(name="p3", stride=8), LevelSpec(name="p4", stride=16)),
    num_classes=3,
    score_threshold=0.05,
    threshold_with_centerness=True,
    nms_threshold=0.6,
    pre_nms_top_k=1000,
    max_detections=100,
)
ONE_LEVEL = msgspec.structs.replace(SPEC, levels=SPEC.levels[:1])


def logit(probability):
    return float(np.log(probability / (1 - probability)))


def quiet(classes, height, width):
    return LevelOutputs(
        np.full((classes, height, width), -20, np.float32),
        np.ones((4, height, width), np.float32),
        np.zeros((1, height, width), np.float32),
    )


def random_level(rng, classes, height, width, spread=2.0):
    return LevelOutputs(
        rng.normal(-1, spread, (classes, height, width)).astype(np.float32),
        np.maximum(rng.normal(2, 2, (4, height, width)), 0).astype(np.float32),
        rng.normal(0, 2, (1, height, width)).astype(np.float32),
    )


def sigmoid(value):
    return 1 / (1 + np.exp(-np.float64(value)))


def literal_candidates(levels, spec):
    """(score, class, level, y, x, box) of all candidates, location by location."""
    found = []
    for index, (outputs, level) in enumerate(zip(levels, spec.levels, strict=True)):
        here = []
        for c, y, x in np.ndindex(outputs.cls_logits.shape):
            prob = sigmoid(outputs.cls_logits[c, y, x])
            product = prob * sigmoid(outputs.centerness[0, y, x])
            if (product if spec.threshold_with_centerness else prob) > spec.score_threshold:
                left, top, right, bottom = outputs.box_reg[:, y, x] * level.stride
                cx, cy = x * level.stride + level.stride // 2, y * level.stride + level.stride // 2
                box = (cx - left, cy - top, cx + right, cy + bottom)
                here.append((np.sqrt(product), c, index, y, x, box))
        found += sorted(here, key=lambda one: -one[0])[: spec.pre_nms_top_k]
    return sorted(found, key=lambda one: -one[0])


def no_suppression(spec, **changes):
    """IoU never exceeds 1, so every candidate is a detection."""
    return msgspec.structs.replace(spec, nms_threshold=1.0, max_detections=100_000, **changes)


@pytest.mark.parametrize("with_centerness", [True, False])
@pytest.mark.parametrize("top_k", [1000, 7])
def test_equals_a_literal_loop(with_centerness, top_k):
    rng = np.random.default_rng(top_k)
    levels = [random_level(rng, 3, 6, 8), random_level(rng, 3, 3, 4)]
    spec = no_suppression(SPEC, threshold_with_centerness=with_centerness, pre_nms_top_k=top_k)
    expected = literal_candidates(levels, spec)
    found = decode(levels, spec)
    assert len(found) == len(expected) > 10
    np.testing.assert_allclose(found.scores, [one[0] for one in expected], rtol=1e-5)
    assert found.classes.tolist() == [one[1] for one in expected]
    assert found.levels.tolist() == [one[2] for one in expected]
    assert found.cells.tolist() == [[one[3], one[4]] for one in expected]
    np.testing.assert_allclose(found.boxes, [one[5] for one in expected], atol=1e-4)


@pytest.mark.parametrize("with_centerness", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 1e-6, 0.05, 0.5, 0.999])
def test_no_candidate_is_lost_to_the_bar_in_the_logit_domain(with_centerness, threshold):
    rng = np.random.default_rng(0)
    level = random_level(rng, 3, 40, 50, spread=6)
    level.centerness[0, :20] = rng.uniform(-100, 100, (20, 50))
    # Logits as near to the bar as float32 allows.
    needed = (
        threshold * (1 + np.exp(-level.centerness[0].astype(np.float64))) if with_centerness else threshold
    )
    with np.errstate(all="ignore"):
        bar = np.broadcast_to(np.log(needed / (1 - np.float64(needed))), (40, 50)).astype(np.float32)
    level.cls_logits[1] = np.where(np.isfinite(bar), bar, -1)
    level.cls_logits[2] = np.nextafter(level.cls_logits[1], np.float32(np.inf))
    probs, ctr = float32_sigmoid(level.cls_logits), float32_sigmoid(level.centerness)
    expected = np.count_nonzero((probs * ctr if with_centerness else probs) > threshold)
    spec = no_suppression(
        ONE_LEVEL,
        score_threshold=threshold,
        threshold_with_centerness=with_centerness,
        pre_nms_top_k=100_000,
    )
    assert len(decode([level], spec)) == expected > 30


def float32_sigmoid(logits):
    """The arithmetic that decides."""
    return 1 / (1 + np.exp(-np.maximum(logits, np.float32(-80))))


def test_channels_last_views_rank_equal_scores_alike():
    rng = np.random.default_rng(0)
    levels = [random_level(rng, 3, 6, 8), random_level(rng, 3, 1, 4), random_level(rng, 3, 5, 1)]
    levels[0].cls_logits[:2, 2] = 3  # equal scores: the order among them counts
    levels[0].centerness[0, 2] = 1
    last = [
        LevelOutputs(
            *(
                np.ascontiguousarray(array.transpose(1, 2, 0)).transpose(2, 0, 1)
                for array in (level.cls_logits, level.box_reg, level.centerness)
            )
        )
        for level in levels
    ]
    spec = no_suppression(SPEC, levels=tuple(LevelSpec(name=f"p{n}", stride=8) for n in range(3)))
    one, other = decode(levels, spec), decode(last, spec)
    assert len(one) > 20
    for field in ("boxes", "scores", "classes", "levels", "cells"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_results_without_detections_are_the_callers_own():
    found = decode([quiet(3, 4, 4)], ONE_LEVEL)
    again = decode([quiet(3, 4, 4)], ONE_LEVEL)
    assert found is not again


def test_one_detection_by_hand():
    level = quiet(3, 4, 5)
    level.cls_logits[2, 1, 3] = logit(0.8)
    level.centerness[0, 1, 3] = logit(0.5)
    level.box_reg[:, 1, 3] = [1, 2, 3, 0.5]
    found = decode([level], ONE_LEVEL)
    # Cell (1, 3) of stride 8 stands at x = 28, y = 12.
    np.testing.assert_allclose(found.boxes, [[20, -4, 52, 16]])
    np.testing.assert_allclose(found.scores, [np.sqrt(0.4)], rtol=1e-6)
    assert (found.classes.tolist(), found.levels.tolist(), found.cells.tolist()) == ([2], [0], [[1, 3]])
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.classes.dtype == found.levels.dtype == found.cells.dtype == np.int64


def test_an_odd_stride_rounds_its_half_down():
    level = quiet(3, 1, 1)
    level.cls_logits[0] = 3
    spec = msgspec.structs.replace(ONE_LEVEL, levels=(LevelSpec(name="p", stride=5),))
    np.testing.assert_allclose(decode([level], spec).boxes, [[-3, -3, 7, 7]])


def test_the_threshold_looks_at_the_class_alone_without_centerness():
    level = quiet(3, 1, 2)
    level.cls_logits[0] = logit(0.3)
    level.centerness[0, 0] = [logit(0.01), logit(0.9)]
    assert len(decode([level], ONE_LEVEL)) == 1
    apart = msgspec.structs.replace(ONE_LEVEL, threshold_with_centerness=False)
    np.testing.assert_allclose(decode([level], apart).scores, np.sqrt([0.27, 0.003]), rtol=1e-5)


def test_nothing_above_the_threshold():
    found = decode([quiet(3, 4, 4)], ONE_LEVEL)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.cells.shape == (0, 2)


@pytest.mark.parametrize("bar", [0.6, 0.1, 0.0])
def test_a_callers_threshold_is_on_the_reported_score(bar):
    levels = [random_level(np.random.default_rng(3), 3, 8, 8, spread=3)]
    everything = decode(levels, no_suppression(ONE_LEVEL, score_threshold=0.0))
    spec = no_suppression(ONE_LEVEL)
    expected = everything.scores[everything.scores > bar]
    assert len(expected) > 0
    for with_centerness in (True, False):
        apart = msgspec.structs.replace(spec, threshold_with_centerness=with_centerness)
        np.testing.assert_array_equal(decode(levels, apart, score_threshold=bar).scores, expected)


@pytest.mark.parametrize("bar", [-0.1, 1.0, float("nan")])
def test_an_impossible_threshold_is_refused(bar):
    with pytest.raises(InputError, match=r"within \[0, 1\)"):
        decode([quiet(3, 2, 2)], ONE_LEVEL, score_threshold=bar)


def test_ties_at_the_last_place_all_stay():
    level = quiet(3, 1, 6)
    level.cls_logits[0, 0] = [3, 2, 2, 2, 1, 1]
    level.box_reg[:] = 0.4  # no overlap
    spec = msgspec.structs.replace(ONE_LEVEL, max_detections=2)
    assert decode([level], spec).cells[:, 1].tolist() == [0, 1, 2, 3]


def test_top_k_is_a_levels_own():
    rng = np.random.default_rng(0)
    levels = [random_level(rng, 3, 8, 8), random_level(rng, 3, 8, 8)]
    found = decode(levels, no_suppression(SPEC, pre_nms_top_k=5))
    assert np.bincount(found.levels).tolist() == [5, 5]


def test_the_same_from_channels_last_views():
    level = random_level(np.random.default_rng(1), 3, 6, 8)
    viewed = LevelOutputs(
        *(
            np.ascontiguousarray(array.transpose(1, 2, 0)).transpose(2, 0, 1)
            for array in (level.cls_logits, level.box_reg, level.centerness)
        )
    )
    assert not viewed.cls_logits.flags.c_contiguous
    expected, found = decode([level], ONE_LEVEL), decode([viewed], ONE_LEVEL)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.filterwarnings("error")
def test_extreme_but_finite_logits():
    level = quiet(3, 1, 3)
    level.cls_logits[:, 0, 0] = -3e38
    level.cls_logits[1, 0, 1] = 3e38
    level.centerness[0, 0] = [3e38, 3e38, -3e38]
    np.testing.assert_array_equal(decode([level], ONE_LEVEL).scores, [1.0])


@pytest.mark.parametrize(
    ("role", "value"),
    [("cls_logits", np.nan), ("cls_logits", np.inf), ("centerness", np.nan), ("box_reg", np.nan)],
)
def test_non_finite_outputs_are_an_error(role, value):
    level = quiet(3, 2, 2)
    level.cls_logits[0, 1, 1] = 3
    getattr(level, role)[0, 1, 1] = value
    with pytest.raises(EngineError, match=f"p3: {role} holds non-finite"):
        decode([level], ONE_LEVEL)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("distance", [3e38, 2e20, -2e20])
def test_distances_whose_areas_are_no_numbers_are_an_error(distance):
    level = quiet(3, 2, 2)
    level.cls_logits[0, 1, 1] = level.centerness[0, 1, 1] = 3
    level.box_reg[0, 1, 1] = 1e15
    assert np.isfinite(decode([level], ONE_LEVEL).boxes).all()
    level.box_reg[0, 1, 1] = distance
    with pytest.raises(EngineError, match=r"p3: box_reg holds .*, expected distances of less than 1e\+18"):
        decode([level], ONE_LEVEL)


def test_a_minus_infinite_logit_is_probability_zero():
    level = quiet(3, 2, 2)
    level.cls_logits[:] = -np.inf
    assert len(decode([level], ONE_LEVEL)) == 0


def test_outputs_that_do_not_fit_the_spec_are_an_error():
    with pytest.raises(EngineError, match="expected outputs of 2 levels, got 1"):
        decode([quiet(3, 2, 2)], SPEC)
    with pytest.raises(EngineError, match=r"expected cls_logits \(3, h, w\)"):
        decode([quiet(4, 2, 2)], ONE_LEVEL)
