import math

import numpy as np
import pytest

from edgeblend.errors import InputError
from edgeblend.masks.paste import paste_masks, paste_probs_region, paste_region


def literal_paste(probs, box, frame_size):
    """Every pixel of the frame on its own, in float64."""
    size = len(probs)
    height, width = frame_size
    x0, y0, x1, y1 = box
    out = np.zeros(frame_size)
    if x1 <= x0 or y1 <= y0:
        return out

    def cell(i, j):
        return probs[i, j] if 0 <= i < size and 0 <= j < size else 0.0

    for row, column in np.ndindex(height, width):
        y = (row + 0.5 - y0) / (y1 - y0) * size - 0.5
        x = (column + 0.5 - x0) / (x1 - x0) * size - 0.5
        top, left = math.floor(y), math.floor(x)
        fy, fx = y - top, x - left
        out[row, column] = (1 - fy) * ((1 - fx) * cell(top, left) + fx * cell(top, left + 1)) + fy * (
            (1 - fx) * cell(top + 1, left) + fx * cell(top + 1, left + 1)
        )
    return out


def on_frame(region, frame_size):
    top, left, values = region
    frame = np.zeros(frame_size, values.dtype)
    frame[top : top + values.shape[0], left : left + values.shape[1]] = values
    return frame


def test_a_grid_of_the_boxs_own_size_is_a_copy():
    probs = np.array([[0.1, 0.9], [0.6, 0.4]], np.float32)
    top, left, mask = paste_region(probs, [3, 1, 5, 3], (6, 8))
    expected = np.zeros((6, 8), bool)
    expected[1, 4] = expected[2, 3] = True
    np.testing.assert_array_equal(on_frame((top, left, mask), (6, 8)), expected)


def test_values_fade_over_half_a_cell():
    # One cell of four pixels: its centre lies between pixels 1 and 2, zero lies a cell away.
    _, left, values = paste_probs_region(np.ones((1, 1), np.float32), [4, 0, 8, 1], (1, 12))
    assert left == 2
    np.testing.assert_allclose(values[0], [0.125, 0.375, 0.625, 0.875, 0.875, 0.625, 0.375, 0.125])


def test_the_threshold_is_inclusive():
    # Pixel centres on the edge of the box read exactly one half.
    mask = on_frame(paste_region(np.ones((2, 2), np.float32), [1.5, 0, 4.5, 1], (1, 6)), (1, 6))
    assert mask.tolist() == [[False, True, True, True, True, False]]
    assert paste_masks(np.full((1, 4, 4), 0.5, np.float32), np.array([[0, 0, 4, 4]]), (4, 4)).sum() == 16


def test_a_plateau_at_the_threshold_stays_on_it():
    probs = np.full((56, 56), 0.5, np.float32)
    _, _, values = paste_probs_region(probs, [-40.3, -31.7, 97.1, 83.9], (50, 60))
    assert (values == 0.5).all()


@pytest.mark.parametrize("seed", range(6))
def test_equals_a_literal_loop(seed):
    rng = np.random.default_rng(seed)
    probs = rng.uniform(0, 1, (5, 5)).astype(np.float32)
    frame_size = (23, 31)
    for _ in range(12):
        centre, side = rng.uniform([-5, -5], [36, 28]), np.exp(rng.uniform(-1, 4.5, 2))
        box = np.concatenate([centre - side / 2, centre + side / 2])
        expected = literal_paste(probs, box, frame_size)
        found = on_frame(paste_probs_region(probs, box, frame_size), frame_size)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        for threshold in (0.5, 0.2):
            mask = on_frame(paste_region(probs, box, frame_size, threshold=threshold), frame_size)
            decided = np.abs(expected - threshold) > 1e-6
            np.testing.assert_array_equal(mask[decided], (expected >= threshold)[decided])


@pytest.mark.parametrize(
    "box", [[5, 5, 5, 9], [5, 9, 9, 5], [-20, 0, -8, 9], [0, 40, 9, 50], [7.6, 7.6, 7.7, 7.7]]
)
def test_a_box_without_pixels_is_empty(box):
    assert paste_region(np.ones((4, 4), np.float32), box, (10, 10))[2].sum() == 0


def test_an_unclipped_box_keeps_its_geometry():
    probs = np.zeros((4, 4), np.float32)
    probs[:, 2:] = 1  # the right half
    unclipped = on_frame(paste_region(probs, [-4, 0, 4, 4], (4, 4)), (4, 4))
    clipped = on_frame(paste_region(probs, [0, 0, 4, 4], (4, 4)), (4, 4))
    assert unclipped.all()
    assert clipped.tolist() == [[False, False, True, True]] * 4


def test_cost_follows_the_box_and_not_the_frame():
    top, left, mask = paste_region(
        np.ones((28, 28), np.float32), [4e4, 3e4, 4e4 + 8, 3e4 + 6], (10**5, 10**5)
    )
    assert mask.shape == (6, 8)
    assert (top, left) == (30_000, 40_000)
    assert mask.all()


def test_blocks_join_without_a_seam():
    probs = np.random.default_rng(0).uniform(0, 1, (9, 9)).astype(np.float32)
    box, frame_size = [-30, -20, 900, 700], (500, 800)  # some hundred thousand pixels
    _, _, whole = paste_probs_region(probs, box, frame_size)
    mask = paste_region(probs, box, frame_size)[2]
    np.testing.assert_array_equal(mask, whole >= 0.5)
    # Column 400 lies at 3.67 cells; down it, the padded grid is read at each row's centre.
    x = (400.5 + 30) / 930 * 9 - 0.5
    column = probs[:, 3] * (4 - x) + probs[:, 4] * (x - 3)
    rows = (np.arange(500) + 0.5 + 20) / 720 * 9 - 0.5
    expected = np.interp(rows, np.arange(-1, 10), np.pad(column, 1))
    np.testing.assert_allclose(whole[:, 400], expected, atol=1e-6)


def test_many_masks():
    probs = np.stack([np.ones((2, 2)), np.zeros((2, 2))]).astype(np.float32)
    boxes = np.array([[0, 0, 2, 1], [0, 0, 3, 3]], np.float32)
    masks = paste_masks(probs, boxes, (3, 3))
    assert masks.tolist() == [[[True, True, False], [False] * 3, [False] * 3], [[False] * 3] * 3]
    assert paste_masks(probs[:0], boxes[:0], (3, 3)).shape == (0, 3, 3)


@pytest.mark.parametrize("box", [[0, 0, np.nan, 1], [0, 0, np.inf, 1], [0, 0, 1]])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(InputError, match="expected a box"):
        paste_region(np.ones((2, 2), np.float32), box, (4, 4))
