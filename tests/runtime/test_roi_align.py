import math

import numpy as np
import pytest

from edgeblend.runtime.roi_align import CHUNK, roi_align


def literal_roi_align(bases, boxes, scale, size):
    """Sample by sample, in float64."""
    channels, height, width = bases.shape
    out = np.zeros((len(boxes), channels, size, size))
    for n, (x0, y0, x1, y1) in enumerate(boxes.astype(np.float64) * scale - 0.5):
        for i, j in np.ndindex(size, size):
            y = y0 + (i + 0.5) * (y1 - y0) / size
            x = x0 + (j + 0.5) * (x1 - x0) / size
            if y < -1 or y > height or x < -1 or x > width:
                continue
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            top, left = math.floor(y), math.floor(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            fy, fx = y - top, x - left
            upper = bases[:, top, left] * (1 - fx) + bases[:, top, right] * fx
            lower = bases[:, bottom, left] * (1 - fx) + bases[:, bottom, right] * fx
            out[n, :, i, j] = upper * (1 - fy) + lower * fy
    return out


def align(bases, boxes, size, scale=1.0):
    return roi_align(
        np.asarray(bases, np.float32), np.array(boxes, np.float32), spatial_scale=scale, output_size=size
    )


RAMP = np.arange(25, dtype=np.float32).reshape(1, 5, 5)


def test_a_ramp_by_hand():
    # The box [1, 3] x [1, 3] covers cells 1 and 2; four bins of half a cell, sampled at their centres:
    # 0.75, 1.25, 1.75, 2.25 after the half-cell shift. The ramp is 5 y + x.
    expected = [
        [4.5, 5.0, 5.5, 6.0],
        [7.0, 7.5, 8.0, 8.5],
        [9.5, 10.0, 10.5, 11.0],
        [12.0, 12.5, 13.0, 13.5],
    ]
    np.testing.assert_allclose(align(RAMP, [[1, 1, 3, 3]], 4)[0, 0], expected)


def test_a_box_of_whole_cells_is_a_copy():
    np.testing.assert_array_equal(align(RAMP, [[0, 0, 5, 5]], 5)[0], RAMP)
    np.testing.assert_array_equal(align(RAMP, [[0, 0, 20, 20]], 5, scale=0.25)[0], RAMP)


def test_samples_beyond_the_border():
    row = np.array([[[10, 20, 30]]], np.float32)
    # Ten bins of one cell from x = -3: positions -3, -2, ..., 6. In y the one sample lies on the row.
    found = align(row, [[-3, 0, 7, 1]], 10)[0, 0, 5]
    np.testing.assert_array_equal(found, [0, 0, 10, 10, 20, 30, 30, 0, 0, 0])


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_literal_loop(seed):
    rng = np.random.default_rng(seed)
    bases = rng.standard_normal((4, 17, 23)).astype(np.float32)
    centre = rng.uniform([0, 0], [92, 68], (20, 2))
    side = np.exp(rng.uniform(-2, 6, (20, 2)))
    boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1).astype(np.float32)
    found = align(bases, boxes, 14, scale=0.25)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, literal_roi_align(bases, boxes, 0.25, 14), atol=2e-5)


@pytest.mark.parametrize(
    "box",
    [
        [8, 8, 8, 8],  # no area: every sample in one place
        [4, 8, 12, 8],
        [0.3, 0.2, 0.4, 0.3],
        [-5000, -4000, 6000, 7000],
    ],
)
def test_degenerate_and_huge_boxes(box):
    bases = np.random.default_rng(0).standard_normal((4, 9, 7)).astype(np.float32)
    found = align(bases, [box], 6, scale=0.25)
    np.testing.assert_allclose(found, literal_roi_align(bases, np.array([box]), 0.25, 6), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1), (2, 2)])
def test_bases_of_a_single_row_or_column(size):
    rng = np.random.default_rng(0)
    bases = rng.standard_normal((2, *size)).astype(np.float32)
    boxes = np.array([[0, 0, 1, 1], [-1, -1, 7, 7], [0.2, 3, 5, 3.5], [-20, 0, 30, 1]], np.float32)
    np.testing.assert_allclose(align(bases, boxes, 7), literal_roi_align(bases, boxes, 1, 7), atol=1e-5)


def test_more_boxes_than_are_sampled_at_once():
    rng = np.random.default_rng(0)
    bases = rng.standard_normal((3, 30, 40)).astype(np.float32)
    corner = rng.uniform(-20, 140, (2 * CHUNK + 3, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 120, corner.shape)], axis=1).astype(np.float32)
    found = align(bases, boxes, 9, scale=0.25)
    np.testing.assert_allclose(found, literal_roi_align(bases, boxes, 0.25, 9), atol=2e-5)
    # What a box gives does not depend on the others.
    for index in (0, CHUNK - 1, CHUNK, 2 * CHUNK + 2):
        np.testing.assert_array_equal(align(bases, boxes[index : index + 1], 9, scale=0.25)[0], found[index])


@pytest.mark.parametrize("num_bases", [1, 2, 5])
def test_any_number_of_bases(num_bases):
    bases = np.random.default_rng(0).standard_normal((num_bases, 8, 9)).astype(np.float32)
    boxes = np.array([[1, 2, 6.5, 7], [-3, -3, 4, 20]], np.float32)
    np.testing.assert_allclose(align(bases, boxes, 5), literal_roi_align(bases, boxes, 1, 5), atol=1e-5)


def test_a_plateau_stays_exactly_flat():
    # Where probabilities end up at the threshold, one rounding would decide about whole areas.
    found = align(np.full((1, 9, 9), 0.3, np.float32), [[1.3, 2.1, 6.7, 8.2]], 11)
    np.testing.assert_array_equal(found, np.float32(0.3))


@pytest.mark.parametrize("box", [[-90, 0, -50, 20], [80, 0, 120, 20], [0, 1e7, 20, 2e7]])
def test_a_box_outside_is_zero(box):
    assert not align(np.ones((2, 5, 5)), [box], 6).any()


def test_no_boxes():
    assert align(np.ones((4, 5, 5)), np.empty((0, 4)), 8).shape == (0, 4, 8, 8)


def test_the_same_from_a_channels_last_view():
    bases = np.random.default_rng(0).standard_normal((9, 7, 4)).astype(np.float32).transpose(2, 0, 1)
    boxes = [[3, 2, 20, 30]]
    np.testing.assert_array_equal(align(bases, boxes, 8), align(bases.copy(), boxes, 8))
