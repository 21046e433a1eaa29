import math

import numpy as np
import pytest

from edgeblend.errors import EngineError
from edgeblend.runtime.blender import blend, blend_boxes
from edgeblend.runtime.roi_align import CHUNK, roi_align


def literal_grow(attention, size, interpolation):
    source = attention.shape[-1]
    out = np.zeros((*attention.shape[:-2], size, size))
    for i, j in np.ndindex(size, size):
        if interpolation == "nearest":
            out[..., i, j] = attention[..., math.floor(i * source / size), math.floor(j * source / size)]
            continue
        y = min(max((i + 0.5) * source / size - 0.5, 0), source - 1)
        x = min(max((j + 0.5) * source / size - 0.5, 0), source - 1)
        top, left = math.floor(y), math.floor(x)
        bottom, right = min(top + 1, source - 1), min(left + 1, source - 1)
        fy, fx = y - top, x - left
        upper = attention[..., top, left] * (1 - fx) + attention[..., top, right] * fx
        lower = attention[..., bottom, left] * (1 - fx) + attention[..., bottom, right] * fx
        out[..., i, j] = upper * (1 - fy) + lower * fy
    return out


def literal_blend(rois, attention, interpolation):
    grown = np.exp(literal_grow(attention.astype(np.float64), rois.shape[-1], interpolation))
    logits = (grown / grown.sum(axis=1, keepdims=True) * rois).sum(axis=1)
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize(("size", "attention_size"), [(8, 3), (12, 4), (5, 5), (56, 14)])
@pytest.mark.parametrize("count", [1, 37])
def test_equals_a_literal_loop(interpolation, size, attention_size, count):
    rng = np.random.default_rng(size)
    rois = rng.normal(0, 3, (count, 4, size, size)).astype(np.float32)
    attention = rng.normal(0, 3, (count, 4, attention_size, attention_size)).astype(np.float32)
    found = blend(rois, attention, interpolation=interpolation)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, literal_blend(rois, attention, interpolation), atol=2e-6)


def test_equal_attention_averages_the_bases():
    rois = np.array([1.0, 3.0], np.float32).reshape(1, 2, 1, 1)
    found = blend(rois, np.zeros((1, 2, 1, 1), np.float32), interpolation="bilinear")
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-2.0)), rtol=1e-6)


def test_nearest_repeats_and_bilinear_fades():
    rois = np.tile(np.array([-4.0, 4.0], np.float32).reshape(1, 2, 1, 1), (1, 1, 4, 4))
    attention = np.zeros((1, 2, 2, 2), np.float32)
    attention[0, 1, :, 1] = 8  # the right half chooses the second base
    nearest = blend(rois, attention, interpolation="nearest")[0, 0]
    fading = blend(rois, attention, interpolation="bilinear")[0, 0]
    assert nearest[0] == nearest[1] == 0.5
    assert nearest[2] == nearest[3] > 0.98
    assert (np.diff(fading) > 0).all()


@pytest.mark.filterwarnings("error")
def test_extreme_values_stay_finite():
    rois = np.array([[-1000, 1000], [1000, -1000]], np.float32).reshape(2, 2, 1, 1)
    attention = np.array([[500, -500], [500, -500]], np.float32).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(blend(rois, attention, interpolation="bilinear").ravel(), [0, 1])


@pytest.mark.parametrize("spread", [30, 300])
def test_attention_of_any_size(spread):
    # Differences beyond 60 are blended another way.
    rng = np.random.default_rng(0)
    rois = rng.normal(0, 3, (5, 4, 12, 12)).astype(np.float32)
    attention = rng.uniform(-spread, spread, (5, 4, 3, 3)).astype(np.float32)
    attention[0] = 1e-3 * attention[0]
    found = blend(rois, attention, interpolation="bilinear")
    grown = literal_grow(attention.astype(np.float64), 12, "bilinear")
    weights = np.exp(grown - grown.max(axis=1, keepdims=True))
    logits = (weights * rois).sum(axis=1) / weights.sum(axis=1)
    # Of a softmax near a tie, float32 attention of this size leaves five digits.
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), atol=1e-4)


def test_the_careful_way_equals_the_other(monkeypatch):
    rng = np.random.default_rng(0)
    rois = rng.normal(0, 3, (3, 4, 56, 56)).astype(np.float32)
    attention = rng.normal(0, 3, (3, 4, 14, 14)).astype(np.float32)
    expected = blend(rois, attention, interpolation="bilinear")
    monkeypatch.setattr("edgeblend.runtime.blender._MODERATE", 0.0)
    np.testing.assert_allclose(blend(rois, attention, interpolation="bilinear"), expected, atol=1e-6)


def test_a_single_basis_is_its_own_mask():
    rois = np.linspace(-3, 3, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    found = blend(rois, np.full((1, 1, 2, 2), 7, np.float32), interpolation="bilinear")
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-rois[:, 0])), rtol=1e-5)


def test_boxes_equal_rois_and_blending():
    rng = np.random.default_rng(0)
    count = CHUNK + 5
    bases = rng.normal(0, 3, (4, 32, 46)).astype(np.float32)
    corner = rng.uniform(-10, 150, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 100, (count, 2))], axis=1).astype(np.float32)
    attention = rng.normal(0, 3, (count, 4, 14, 14)).astype(np.float32)
    found = blend_boxes(bases, boxes, attention, spatial_scale=0.25, mask_size=56, interpolation="bilinear")
    rois = roi_align(bases, boxes, spatial_scale=0.25, output_size=56)
    np.testing.assert_array_equal(found, blend(rois, attention, interpolation="bilinear"))


def test_samples_beyond_the_bases_are_exactly_one_half():
    bases = np.random.default_rng(0).normal(0, 3, (4, 8, 8)).astype(np.float32)
    attention = np.random.default_rng(1).normal(0, 3, (1, 4, 2, 2)).astype(np.float32)
    boxes = np.array([[-64, 0, 32, 32]], np.float32)  # two thirds of it left of the picture
    found = blend_boxes(bases, boxes, attention, spatial_scale=0.25, mask_size=24, interpolation="bilinear")
    assert (found[0, :, :15] == 0.5).all()
    assert (found[0, :, 17:] != 0.5).all()


def test_no_boxes_to_blend():
    nothing = blend_boxes(
        np.ones((4, 8, 8), np.float32),
        np.empty((0, 4), np.float32),
        np.empty((0, 4, 2, 2), np.float32),
        spatial_scale=0.25,
        mask_size=8,
        interpolation="bilinear",
    )
    assert nothing.shape == (0, 8, 8)


def test_nothing_to_blend():
    nothing = blend(
        np.empty((0, 4, 8, 8), np.float32), np.empty((0, 4, 2, 2), np.float32), interpolation="nearest"
    )
    assert nothing.shape == (0, 8, 8)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("broken", ["rois", "attention"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_values_are_an_error(broken, value):
    arrays = {"rois": np.ones((3, 2, 4, 4), np.float32), "attention": np.zeros((3, 2, 2, 2), np.float32)}
    arrays[broken][1, :, 0, 0] = [value, -value]
    with pytest.raises(EngineError, match="non-finite"):
        blend(**arrays, interpolation="bilinear")
