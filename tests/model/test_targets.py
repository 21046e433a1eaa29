"""Which location learns which object, on grids that can be drawn."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_training import fcos_config, truth

from edgeblend.model.config import decode_spec, load_config
from edgeblend.model.losses.targets import (
    BACKGROUND,
    GroundTruth,
    assign_targets,
    centerness_of,
    head_locations,
)
from edgeblend.runtime.decode import LevelOutputs, decode

ONE_LEVEL = fcos_config(8)
"""Every size on one level of stride 8: a 4 x 4 grid has its locations at 4, 12, 20 and 28."""
ANYWHERE = fcos_config(8, center_sample=False)


def assign(boxes, config=ONE_LEVEL, grids=((4, 4),), classes=None):
    return assign_targets(head_locations(grids, config), truth(boxes, classes), config)


def drawing(values, rows=4):
    """One row of the grid a line; ``.`` is background."""
    return [
        "".join("." if v == BACKGROUND else str(v) for v in row) for row in values.view(rows, -1).tolist()
    ]


def test_locations_go_level_by_level_and_row_by_row():
    locations = head_locations([(2, 3), (1, 2)], fcos_config(8, 16, sizes=(64,)))
    fine = [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
    assert locations.points.tolist() == [*fine, [8, 8], [24, 8]]
    assert locations.strides.tolist() == [8] * 6 + [16] * 2
    assert locations.low.tolist() == [-1] * 6 + [64] * 2
    assert locations.high.tolist() == [64] * 6 + [torch.inf] * 2
    assert {t.dtype for t in (locations.points, locations.strides, locations.low)} == {torch.float32}


def test_the_ranges_of_five_levels():
    locations = head_locations([(1, 1)] * 5, load_config("R_50_3x").fcos)
    assert locations.low.tolist() == [-1, 64, 128, 256, 512]
    assert locations.high.tolist() == [64, 128, 256, 512, torch.inf]


def test_levels_and_sizes_must_be_as_many():
    with pytest.raises(ValueError, match="longer"):
        head_locations([(4, 4)], fcos_config(8, 16, sizes=(64,)))


def test_anywhere_in_the_box_without_centre_sampling():
    assert drawing(assign([[0, 0, 32, 32]], ANYWHERE).objects) == ["0000"] * 4
    assert drawing(assign([[10, 3, 30, 22]], ANYWHERE).objects) == [".000", ".000", ".000", "...."]


def test_only_around_the_centre_with_centre_sampling():
    # 1.5 strides around (16, 16) is 4 to 28, and locations on that border are not inside.
    assert drawing(assign([[0, 0, 32, 32]]).objects) == ["....", ".00.", ".00.", "...."]
    # Centre (20, 12): 8 to 32 by 0 to 24.
    assert drawing(assign([[0, 0, 40, 24]]).objects) == [".000", ".000", ".000", "...."]


def test_the_square_around_the_centre_is_cut_to_the_box():
    # Centre (16, 12); the square reaches from 4 to 28 by 0 to 24, the box from 9 to 23 by 9 to 15.
    assert drawing(assign([[9, 9, 23, 15]]).objects) == ["....", ".00.", "....", "...."]


def test_the_radius_counts_in_strides_of_the_level():
    near = dataclasses.replace(ONE_LEVEL, pos_radius=0.6)  # 4.8 pixels
    assert drawing(assign([[0, 0, 32, 32]], near).objects) == ["....", ".00.", ".00.", "...."]
    assert drawing(assign([[8, 8, 32, 32]], near).objects) == ["....", "....", "..0.", "...."]
    coarse = fcos_config(16, pos_radius=1.0)  # locations 8, 24, 40, 56; centre 32, so 16 to 48
    assert drawing(assign([[0, 0, 64, 64]], coarse).objects) == ["....", ".00.", ".00.", "...."]


def test_a_location_on_the_edge_of_a_box_is_outside():
    # A zero distance would be a centerness of zero, which weighs nothing.
    assert drawing(assign([[12, 12, 28, 28]], ANYWHERE).objects) == ["....", "....", "..0.", "...."]


def test_distances_are_in_strides_and_centerness_is_the_papers():
    targets = assign([[4, 8, 28, 32]], ANYWHERE)
    at = targets.objects.view(4, 4).ne(BACKGROUND).nonzero().tolist()
    assert at == [[1, 1], [1, 2], [2, 1], [2, 2], [3, 1], [3, 2]]
    # From (12, 12) it is 8, 4, 16 and 20 pixels to left, top, right and bottom.
    assert targets.distances.view(4, 4, 4)[1, 1].tolist() == [1.0, 0.5, 2.0, 2.5]
    expected = (8 / 16 * 4 / 20) ** 0.5
    assert targets.centerness.view(4, 4)[1, 1].item() == pytest.approx(expected, rel=1e-6)
    background = targets.objects == BACKGROUND
    assert not targets.distances[background].any()
    assert not targets.centerness[background].any()


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([3, 3, 3, 3], 1.0),
        ([1, 4, 4, 4], 0.5),
        ([4, 4, 1, 4], 0.5),
        ([1, 4, 4, 1], 0.25),
        ([0, 1, 5, 1], 0.0),
        ([0, 0, 0, 0], 0.0),
    ],
)
def test_centerness(distances, expected):
    assert centerness_of(torch.tensor(distances, dtype=torch.float32)).item() == pytest.approx(expected)


def test_the_range_of_sizes_looks_at_the_largest_distance():
    config = fcos_config(8, 16, sizes=(64,), center_sample=False)
    grids = [(16, 16), (8, 8)]

    def levels_at(box):
        """Whether (68, 68) on the fine and (72, 72) on the coarse level learn the box."""
        objects = assign([box], config, grids).objects
        return objects[8 * 16 + 8].item() == 0, objects[256 + 4 * 8 + 4].item() == 0

    # From (68, 68) it is exactly 64 to the left, and that is the finer level's; from (72, 72) it is 68.
    assert levels_at([4, 60, 100, 100]) == (True, True)
    assert levels_at([3.5, 60, 100, 100]) == (False, True)
    # From (72, 72) it is exactly 64 to the left: not above 64, so not the coarser level's.
    assert levels_at([8, 60, 100, 100]) == (True, False)
    assert levels_at([7.5, 60, 100, 100]) == (True, True)
    # Each side counts.
    assert levels_at([60, 60, 132, 100]) == (True, False)
    assert levels_at([60, 60, 132.5, 100]) == (False, False)
    assert levels_at([60, 3.5, 100, 100]) == (False, True)
    assert levels_at([60, 60, 100, 136.5]) == (False, True)


def test_the_finest_level_takes_the_smallest_and_the_coarsest_the_largest_objects():
    config = fcos_config(8, 16, 32, sizes=(64, 128))
    grids = [(64, 64), (32, 32), (16, 16)]
    small = assign([[11, 11, 13, 13]], config, grids)
    positive = (small.objects != BACKGROUND).nonzero().flatten()
    assert positive.tolist() == [64 + 1]
    assert small.distances[positive].tolist() == [[0.125] * 4]
    large = assign([[0, 0, 512, 512]], config, grids)
    positive = (large.objects != BACKGROUND).nonzero().flatten()
    assert len(positive) == 4  # 240 and 272 around 256 in x and in y; 208 and 304 lie on the border
    assert (positive >= 64 * 64 + 32 * 32).all()


def test_the_smaller_of_two_objects_wins_where_they_overlap():
    large, small = [0, 0, 32, 32], [0, 0, 16, 24]
    targets = assign([large, small], ANYWHERE, classes=[2, 1])
    assert drawing(targets.objects) == ["1100", "1100", "1100", "0000"]
    assert drawing(targets.classes) == ["1122", "1122", "1122", "2222"]
    assert targets.distances[0].tolist() == [0.5, 0.5, 1.5, 2.5]
    swapped = assign([small, large], ANYWHERE, classes=[1, 2])
    assert drawing(swapped.objects) == ["0011", "0011", "0011", "1111"]
    assert torch.equal(swapped.classes, targets.classes)
    assert torch.equal(swapped.distances, targets.distances)


def test_a_smaller_object_that_is_no_candidate_leaves_its_locations_to_the_larger():
    # The small one's centre is (14, 14) with a reach of 4.8: only (12, 12) is left of its four.
    config = dataclasses.replace(ANYWHERE, center_sample=True, pos_radius=0.6)
    assert drawing(assign([[6, 6, 22, 22]], config).objects) == ["....", ".0..", "....", "...."]
    assert drawing(assign([[0, 0, 32, 32], [6, 6, 22, 22]], config).objects) == [
        "....",
        ".10.",
        ".00.",
        "....",
    ]


def test_a_picture_without_objects_is_all_background():
    targets = assign([])
    assert drawing(targets.objects) == ["...."] * 4
    assert drawing(targets.classes) == ["...."] * 4
    assert targets.distances.shape == (16, 4)
    assert not targets.distances.any()
    assert not targets.centerness.any()


@pytest.mark.parametrize("box", [[100, 100, 140, 140], [-40, -40, -1, -1], [12, 12, 12, 12], [5, 5, 11, 11]])
@pytest.mark.parametrize("config", [ONE_LEVEL, ANYWHERE], ids=["centre", "anywhere"])
def test_a_box_that_holds_no_location_changes_nothing(box, config):
    """Outside the picture, without an area, or between the locations."""
    targets = assign([box], config)
    assert drawing(targets.objects) == ["...."] * 4
    assert torch.isfinite(targets.distances).all()
    alone, beside = assign([[0, 0, 32, 32]], config), assign([box, [0, 0, 32, 32]], config)
    assert torch.equal(beside.objects == 1, alone.objects == 0)
    assert not (beside.objects == 0).any()


def test_a_box_beyond_the_border_keeps_its_full_distances():
    targets = assign([[-20, 0, 12, 16]], ANYWHERE)
    assert drawing(targets.objects) == ["0...", "0...", "....", "...."]
    assert targets.distances[0].tolist() == [3.0, 0.5, 1.0, 1.5]


def test_types():
    for targets in (assign([[0, 0, 32, 32]]), assign([])):
        assert (targets.objects.dtype, targets.classes.dtype) == (torch.int64, torch.int64)
        assert (targets.distances.dtype, targets.centerness.dtype) == (torch.float32, torch.float32)


def literal_targets(boxes, grids, config):
    """(object, distances in strides) of every location, location by location."""
    found = []
    bounds = (-1, *config.sizes_of_interest, np.inf)
    for index, ((height, width), stride) in enumerate(zip(grids, config.strides, strict=True)):
        for row, column in np.ndindex(height, width):
            x, y = column * stride + stride // 2, row * stride + stride // 2
            best, best_area, best_distances = BACKGROUND, np.inf, (0.0,) * 4
            for n, (left, top, right, bottom) in enumerate(boxes):
                distances = (x - left, y - top, right - x, bottom - y)
                reach = config.pos_radius * stride if config.center_sample else np.inf
                near = max(abs(x - (left + right) / 2), abs(y - (top + bottom) / 2)) < reach
                sized = bounds[index] < max(distances) <= bounds[index + 1]
                area = (right - left) * (bottom - top)
                if min(distances) > 0 and near and sized and area < best_area:
                    best, best_area, best_distances = n, area, distances
            found.append((best, [d / stride for d in best_distances]))
    return found


@pytest.mark.parametrize("center_sample", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_literal_loop(center_sample, seed):
    rng = np.random.default_rng(seed)
    config = fcos_config(8, 16, 32, sizes=(64, 128), center_sample=center_sample)
    grids = [(20, 28), (10, 14), (5, 7)]
    centres, sides = rng.uniform(-10, 240, (12, 2)), np.exp(rng.uniform(1, 5.7, (12, 2)))
    # Quarters of pixels are exact in float32, so that both sides compute the same borders.
    boxes = np.round(np.hstack([centres - sides / 2, centres + sides / 2]) * 4) / 4
    boxes[0] = [-30, 10, 250, 150]  # one that only the coarsest level may learn
    targets = assign(boxes.tolist(), config, grids, classes=list(range(12)))
    expected = literal_targets(boxes.tolist(), grids, config)
    assert targets.objects.tolist() == [item for item, _ in expected]
    assert torch.equal(targets.classes, targets.objects)
    np.testing.assert_allclose(targets.distances, [d for _, d in expected], atol=1e-6)
    positives = [(level != BACKGROUND).sum() for level in targets.objects.split([560, 140, 35])]
    assert all(positives)  # every level has something to learn


def test_the_runtime_decodes_targets_to_the_objects():
    config = load_config("Lite0_320")
    grids = [(12, 16), (6, 8), (3, 4)]
    boxes, classes = [[3, 5, 41, 60], [50, 20, 127, 95], [-9, 70, 30, 110]], [7, 3, 79]
    targets = assign(boxes, config.fcos, grids, classes)
    levels, start = [], 0
    for height, width in grids:
        stop = start + height * width
        logits = np.full((80, height * width), -20, np.float32)
        here = targets.classes[start:stop].numpy()
        logits[here[here != BACKGROUND], np.flatnonzero(here != BACKGROUND)] = 20
        levels.append(
            LevelOutputs(
                cls_logits=logits.reshape(80, height, width),
                box_reg=targets.distances[start:stop].T.reshape(4, height, width).numpy(),
                centerness=torch.logit(targets.centerness[start:stop], 1e-6).view(1, height, width).numpy(),
            )
        )
        start = stop
    found = decode(levels, decode_spec(config))
    order = [found.classes.tolist().index(label) for label in classes]
    assert len(found) == 3
    np.testing.assert_allclose(found.boxes[order], boxes, atol=1e-4)


def test_ground_truth_moves_as_one():
    before = truth([[0, 0, 8, 8]], [2])
    after = before.to(torch.device("meta"))
    assert isinstance(after, GroundTruth)
    for name in ("boxes", "classes", "masks", "semantic"):
        assert getattr(after, name).device.type == "meta"
        assert getattr(after, name).shape == getattr(before, name).shape
