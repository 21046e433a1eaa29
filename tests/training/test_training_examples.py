"""One picture changed, and what the network should say about it, by hand and by what was drawn."""

import cv2
import numpy as np
import pytest
import torch

from edgeblend.calibration.data.coco import CocoImage, CocoObject
from edgeblend.errors import InputError
from edgeblend.model.blend import roi_align
from edgeblend.model.losses import criterion
from edgeblend.training.examples import SEMANTIC_STRIDE, ResizeRule, choose_view, make_example, sample_mask
from edgeblend.training.options import Augmentation

PLAIN = Augmentation(flip=False, scales=(1.0, 1.0), brightness=0, contrast=0, saturation=0)
RELIT = Augmentation(flip=True, brightness=0.15, contrast=0.2, saturation=0.3)


class Chosen:
    """Stands in for random numbers: mirrored or not, at a place, nothing relit."""

    def __init__(self, *, mirrored=False, places=(0, 0)):
        self._mirrored, self._places = mirrored, list(places)

    def random(self):
        return 0.0 if self._mirrored else 0.9

    def integers(self, high):
        place = self._places.pop(0)
        assert place < high
        return place

    def uniform(self, low, high):
        return (low + high) / 2


def rectangle(shape, left, top, right, bottom):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def run_lengths(mask):
    flat = mask.ravel(order="F").astype(np.int8)
    counts = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def object_of(mask, *, class_index=0, crowd=False):
    # Boxes come from masks; what the file says of them does not matter.
    box = np.array([0, 0, 1, 1], np.float32)
    return CocoObject(1, box, class_index, crowd, float(mask.sum()), run_lengths(mask))


@pytest.fixture
def labelled(tmp_path):
    """A function from a picture and objects to what a data set says of them."""

    def write(picture, *objects):
        path = tmp_path / "picture.png"
        cv2.imwrite(str(path), picture)
        height, width = picture.shape[:2]
        return CocoImage(1, path, width, height, objects)

    return write


def example_of(image, size, *, scale=1.0, rng=None, augmentation=PLAIN, mask_size=4):
    rule = ResizeRule(size, size)
    rng = Chosen() if rng is None else rng
    return make_example(
        image, rule=rule, scale=scale, augmentation=augmentation, mask_size=mask_size, rng=rng
    )


BLACK = np.zeros((8, 8, 3), np.uint8)
TALL = rectangle((8, 8), 1, 2, 3, 6)  # 2 wide, 4 tall


# Where an object is


def test_a_picture_as_it_is(labelled):
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    example = example_of(labelled(picture, object_of(TALL, class_index=5)), 8)
    assert (example.image == picture).all() and example.image.dtype == np.uint8
    assert example.boxes.tolist() == [[1, 2, 3, 6]] and example.boxes.dtype == np.float32
    assert example.classes.tolist() == [5] and example.classes.dtype == np.int64
    assert example.masks.tolist() == np.ones((1, 4, 4)).tolist() and example.masks.dtype == np.uint8


def test_mirrored(labelled):
    corner = TALL.copy()
    corner[2, 2] = False
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[corner] = 255
    example = example_of(
        labelled(picture, object_of(corner)), 8, rng=Chosen(mirrored=True), augmentation=Augmentation()
    )
    assert example.boxes.tolist() == [[5, 2, 7, 6]]
    assert example.masks[0].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert (example.image[..., 0] == 255).tolist() == corner[:, ::-1].tolist()


def test_a_flip_that_is_off_never_happens(labelled):
    image = labelled(BLACK, object_of(TALL))
    for seed in range(20):
        example = example_of(image, 8, rng=np.random.default_rng(seed))
        assert example.boxes.tolist() == [[1, 2, 3, 6]]


def test_scaled_to_twice_the_size(labelled):
    example = example_of(labelled(BLACK, object_of(TALL)), 16)
    assert example.image.shape == (16, 16, 3)
    assert example.boxes.tolist() == [[2, 4, 6, 12]]


def test_scaled_by_the_batch(labelled):
    example = example_of(labelled(BLACK, object_of(TALL)), 16, scale=0.75)
    assert example.image.shape == (12, 12, 3)
    assert example.boxes.tolist() == [[1.5, 3, 4.5, 9]]


def test_cropped(labelled):
    # Twice the size does not fit: 4 of 8 pixels a side are seen, here from (2, 2).
    example = example_of(labelled(BLACK, object_of(TALL)), 8, scale=2, rng=Chosen(places=(2, 2)))
    assert example.image.shape == (8, 8, 3)
    assert example.boxes.tolist() == [[0, 0, 2, 8]]  # of columns 1..2 the second, of rows 2..5 all
    assert example.masks[0].all()


def test_a_crop_shows_its_part_of_the_picture(labelled):
    picture = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    image = labelled(picture)
    example = make_example(
        image,
        rule=ResizeRule(8, 5),
        scale=8 / 5,  # over the rule's 5 / 8: pictures keep their size
        augmentation=PLAIN,
        mask_size=4,
        rng=Chosen(places=(1, 3)),
    )
    assert (example.image == picture[3:8, 1:6]).all()


def test_the_long_side_limits_the_scale():
    rule = ResizeRule(800, 1333)
    assert rule.scale(480, 640) == 800 / 480
    assert rule.scale(640, 480) == 800 / 480
    assert rule.scale(100, 1000) == 1.333


@pytest.mark.parametrize("shape", [(3, 5), (1, 300), (300, 1), (64, 64), (63, 65), (500, 40)])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_any_picture_fits_its_canvas(labelled, shape, scale):
    whole = rectangle(shape, 0, 0, shape[1], shape[0])
    image = labelled(np.zeros((*shape, 3), np.uint8), object_of(whole))
    for seed in range(3):
        example = example_of(image, 64, scale=scale, rng=np.random.default_rng(seed))
        height, width = example.image.shape[:2]
        assert 1 <= height <= 64 and 1 <= width <= 64
        if min(height, width) >= 2 and len(example.boxes):
            np.testing.assert_allclose(example.boxes, [[0, 0, width, height]], rtol=1e-6)


def test_places_of_a_crop_reach_every_edge():
    rng = np.random.default_rng(0)
    views = [choose_view(10, 12, ResizeRule(10, 10), 2.0, flip=False, rng=rng) for _ in range(300)]
    assert {(view.height, view.width, view.size) for view in views} == {(6, 6, (10, 10))}
    assert {view.left for view in views} == set(range(7))
    assert {view.top for view in views} == set(range(5))


# What is left out


def test_crowds_are_left_out(labelled):
    example = example_of(labelled(BLACK, object_of(TALL, crowd=True)), 8)
    assert example.boxes.shape == (0, 4) and example.masks.shape == (0, 4, 4)
    assert not example.semantic.any()


def test_a_picture_without_objects(labelled):
    example = example_of(labelled(BLACK), 8)
    assert (example.boxes.shape, example.classes.shape) == ((0, 4), (0,))
    assert example.masks.shape == (0, 4, 4)


@pytest.mark.parametrize(("seen", "kept"), [(1, False), (2, True), (10, True)])
def test_an_object_is_left_out_when_less_than_a_fifth_is_seen(labelled, seen, kept):
    wide = rectangle((20, 20), 0, 5, 10, 15)  # 10 columns
    example = example_of(
        labelled(np.zeros((20, 20, 3), np.uint8), object_of(wide)),
        20,
        scale=2,
        rng=Chosen(places=(10 - seen, 5)),
    )
    assert example.boxes.tolist() == ([[0, 0, 2 * seen, 20]] if kept else [])


@pytest.mark.parametrize(("columns", "kept"), [(1, False), (2, True)])
def test_an_object_is_left_out_when_it_is_narrower_than_two_network_pixels(labelled, columns, kept):
    example = example_of(labelled(BLACK, object_of(rectangle((8, 8), 3, 0, 3 + columns, 8))), 8)
    assert len(example.boxes) == kept


def test_the_kept_stay_together(labelled):
    objects = [
        object_of(rectangle((8, 8), 0, 0, 1, 8), class_index=0),  # too narrow
        object_of(TALL, class_index=1),
        object_of(rectangle((8, 8), 4, 4, 8, 8), class_index=2, crowd=True),
        object_of(rectangle((8, 8), 5, 0, 8, 2), class_index=3),
    ]
    example = example_of(labelled(BLACK, *objects), 8)
    assert example.classes.tolist() == [1, 3]
    assert example.boxes.tolist() == [[1, 2, 3, 6], [5, 0, 8, 2]]
    assert example.semantic.tolist() == [[0]]  # its centre (4, 4) is the crowd's alone


# Masks


def test_a_mask_of_as_many_pixels_as_bins_is_the_mask():
    mask = np.random.default_rng(0).integers(0, 2, (4, 4), np.uint8)
    assert (sample_mask(mask, np.array([0.0, 0, 4, 4]), 4) == mask).all()


def test_a_part_of_a_mask():
    mask = np.arange(24).reshape(4, 6).astype(np.uint8) % 3 % 2
    assert (sample_mask(mask, np.array([2.0, 1, 5, 4]), 3) == mask[1:4, 2:5]).all()


def test_a_mask_is_read_between_pixels():
    # Bins of half a pixel: their centres lie at quarters, so values are 1, 0.75, 0.25, 0 along x.
    mask = np.array([[1, 0]], np.uint8)
    assert sample_mask(mask, np.array([0.0, 0, 2, 1]), 4)[0].tolist() == [1, 1, 0, 0]
    # One bin of two pixels: exactly half is on, which counts.
    assert sample_mask(mask, np.array([0.0, 0, 2, 1]), 1).tolist() == [[1]]


def test_masks_are_read_as_roi_align_reads_bases():
    rng = np.random.default_rng(2)
    compared = 0
    for _ in range(50):
        height, width = rng.integers(3, 60, 2)
        mask = (rng.random((height, width)) < 0.5).astype(np.uint8)
        left, top = rng.integers(0, width - 1), rng.integers(0, height - 1)
        right, bottom = rng.integers(left + 1, width + 1), rng.integers(top + 1, height + 1)
        box = np.array([left, top, right, bottom], np.float64)
        plane, boxes = torch.from_numpy(mask[None]).float(), torch.from_numpy(box[None]).float()
        expected = roi_align(plane, boxes, stride=1, size=14)[0, 0].numpy()
        clear = np.abs(expected - 0.5) > 1e-4
        assert ((sample_mask(mask, box, 14) == (expected >= 0.5)) | ~clear).all()
        compared += clear.sum()
    assert compared > 0.9 * 50 * 14 * 14


# The semantic map


def test_the_semantic_map_has_the_smaller_object_on_top(labelled):
    picture = np.zeros((24, 32, 3), np.uint8)
    wide = rectangle((24, 32), 0, 0, 32, 16)  # centres at 4, 12 along y; all four along x
    small = rectangle((24, 32), 9, 9, 16, 16)  # holds the centre (12, 12)
    expected = [[3, 3, 3, 3], [3, 1, 3, 3], [0, 0, 0, 0]]
    for objects in (
        [object_of(wide, class_index=2), object_of(small)],
        [object_of(small), object_of(wide, class_index=2)],
    ):
        example = make_example(
            labelled(picture, *objects),
            rule=ResizeRule(24, 32),
            scale=1,
            augmentation=PLAIN,
            mask_size=4,
            rng=Chosen(),
        )
        assert example.semantic.tolist() == expected
    assert criterion.SEMANTIC_STRIDE == SEMANTIC_STRIDE == 8


@pytest.mark.parametrize(("size", "cells"), [(8, 1), (12, 1), (13, 2), (16, 2), (4, 0), (5, 1)])
def test_the_semantic_map_has_the_cells_whose_centre_is_in_the_picture(labelled, size, cells):
    whole = rectangle((size, size), 0, 0, size, size)
    example = example_of(labelled(np.zeros((size, size, 3), np.uint8), object_of(whole)), size)
    assert example.semantic.shape == (cells, cells)
    assert (example.semantic == 1).all()


def test_the_semantic_map_of_a_scaled_picture(labelled):
    # 8 x 8 to 32 x 32: the centres 4, 12, 20, 28 are the picture's columns 1, 3, 5, 7.
    columns = rectangle((8, 8), 3, 0, 6, 8)
    example = example_of(labelled(BLACK, object_of(columns)), 32)
    assert example.semantic.tolist() == [[0, 1, 1, 0]] * 4


# Light


def test_light_that_is_not_changed_leaves_every_byte(labelled):
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert (example_of(labelled(every), 16).image == every).all()


def test_brightness_shifts_and_stops_at_the_ends(labelled):
    class Highest(Chosen):
        def uniform(self, low, high):
            return high

    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    bright = Augmentation(flip=False, brightness=0.2, contrast=0, saturation=0)
    example = example_of(labelled(every), 16, rng=Highest(), augmentation=bright)
    assert (example.image == np.minimum(every.astype(int) + 51, 255)).all()
    contrast = Augmentation(flip=False, brightness=0, contrast=1.0, saturation=0)
    example = example_of(labelled(every), 16, rng=Highest(), augmentation=contrast)
    expected = np.clip(2 * every.astype(float) - 127.5, 0, 255)
    assert np.abs(example.image - expected).max() <= 0.5


def test_saturation_keeps_what_is_grey(labelled):
    class Lowest(Chosen):
        def uniform(self, low, high):
            return low

    colour = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    colour[4:] = 77
    less = Augmentation(flip=False, brightness=0, contrast=0, saturation=1.0)
    image = example_of(labelled(colour), 8, rng=Lowest(), augmentation=less).image
    grey = round(0.114 * 200 + 0.587 * 100 + 0.299 * 50)
    assert image[0, 0].tolist() == [grey] * 3
    assert (image[4:] == 77).all()


# As a whole


def drawn(seed):
    """An L of white on dark, which no mirroring keeps, in a picture of a random size."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(40, 150, 2)
    mask = np.zeros((height, width), bool)
    top, left = rng.integers(0, height - 30), rng.integers(0, width - 30)
    bottom, right = rng.integers(top + 26, height + 1), rng.integers(left + 26, width + 1)
    mask[top:bottom, left : left + 10] = True
    mask[bottom - 10 : bottom, left:right] = True
    picture = np.full((height, width, 3), 20, np.uint8)
    picture[mask] = 235
    return picture, mask


@pytest.mark.parametrize("seed", range(40))
def test_the_picture_shows_what_box_and_mask_say(labelled, seed):
    picture, mask = drawn(seed)
    rng = np.random.default_rng(seed)
    example = example_of(
        labelled(picture, object_of(mask)),
        96,
        scale=float(rng.uniform(0.75, 2)),
        rng=rng,
        augmentation=RELIT,
        mask_size=56,
    )
    if not len(example.boxes):
        return
    grey = example.image.mean(axis=2)
    seen = grey > (grey.min() + grey.max()) / 2
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.abs(example.boxes[0] - found).max() <= 1.5, (example.boxes, found)
    box = example.boxes[0].astype(np.float64)
    sampled = sample_mask(seen.astype(np.uint8), np.clip(box, 0, max(seen.shape)), 56)
    both, either = (sampled & example.masks[0]).sum(), (sampled | example.masks[0]).sum()
    assert both / either > 0.85


def test_most_of_those_views_show_the_object(labelled):
    shown = 0
    for seed in range(40):
        picture, mask = drawn(seed)
        image, rng = labelled(picture, object_of(mask)), np.random.default_rng(seed)
        shown += len(example_of(image, 96, scale=float(rng.uniform(0.75, 2)), rng=rng).boxes)
    assert shown > 30


def test_the_same_seed_gives_the_same_example(labelled):
    picture, mask = drawn(3)
    image = labelled(picture, object_of(mask))

    def make(seed):
        rng = np.random.default_rng(seed)
        return example_of(image, 96, scale=1.5, rng=rng, augmentation=RELIT)

    first, again = make(1), make(1)
    for name in ("image", "boxes", "classes", "masks", "semantic"):
        assert (getattr(first, name) == getattr(again, name)).all()
    others = [make(seed) for seed in range(2, 8)]
    assert all(
        other.image.shape != first.image.shape or (other.image != first.image).any() for other in others
    )


# Pictures that are not what the annotations say


def test_a_picture_of_another_size(labelled):
    image = labelled(BLACK, object_of(TALL))
    cv2.imwrite(str(image.path), np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(InputError, match="expected 8x8 pixels as annotated, got 9x8"):
        example_of(image, 8)


def test_a_picture_that_is_none(labelled):
    image = labelled(BLACK)
    image.path.write_text("no picture")
    with pytest.raises(InputError, match="picture.png"):
        example_of(image, 8)
