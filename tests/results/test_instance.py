"""One instance: plain attributes, and its mask in every form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pycocotools import mask as coco

from edgeblend.errors import InputError
from edgeblend.results import Instance, Instances


def two() -> Instances:
    """On a frame of 4x6: a full mask over (1, 0)-(3, 2), and one with only its left half set."""
    boxes = np.array([[1, 0, 3, 2], [2, 1, 6, 3]], np.float32)
    probs = np.ones((2, 2, 2), np.float32)
    probs[1, :, 1] = 0
    return Instances(
        boxes=boxes,
        scores=np.array([0.75, 0.5], np.float32),
        classes=np.array([1, 0]),
        class_names=("cat", "dog"),
        mask_probs=probs,
        mask_boxes=boxes,
        frame_size=(4, 6),
        category_ids=(17, 18),
    )


def of_two_pieces() -> Instance:
    """On a frame of 5x9 a mask of 5x9 cells: a piece of 3x3 pixels with a hole, and one of 2x2."""
    probs = np.zeros((1, 9, 9), np.float32)
    probs[0, 0:3, 0:3] = 1
    probs[0, 1, 1] = 0
    probs[0, 3:5, 5:7] = 1
    box = np.array([[0, 0, 9, 9]], np.float32)
    score, label = np.ones(1, np.float32), np.zeros(1, np.int64)
    return Instances(box, score, label, ("cat",), probs, box, (9, 9))[0]


def test_attributes_are_plain_values():
    first, second = two()
    assert (first.name, first.class_id, first.category_id, first.score) == ("dog", 1, 18, 0.75)
    assert first.box == (1.0, 0.0, 3.0, 2.0)
    assert (second.name, second.class_id, second.category_id, second.score) == ("cat", 0, 17, 0.5)
    kinds = [
        type(value) for value in (first.class_id, first.category_id, first.score, *first.box, first.area)
    ]
    assert kinds == [int, int, float, float, float, float, float, int]
    shown = "Instance(name='dog', class_id=1, category_id=18, score=0.75, box=(1.0, 0.0, 3.0, 2.0))"
    assert repr(first) == shown


def test_every_form_of_a_mask_is_the_one_that_the_arrays_give():
    instances = two()
    for position, one in enumerate(instances):
        np.testing.assert_array_equal(one.mask(), instances.masks()[position])
        np.testing.assert_array_equal(one.mask(0.25), instances.masks(0.25)[position])
        np.testing.assert_array_equal(coco.decode(one.rle()), one.mask())
        assert one.area == instances.areas()[position] == one.mask().sum() == 4
    assert instances[0].mask().tolist() == [[False, True, True, False, False, False]] * 2 + [[False] * 6] * 2


def test_the_polygon_is_the_largest_piece():
    one = of_two_pieces()
    assert sorted(piece.area for piece in one.polygons()) == [4, 8]
    assert one.polygon().area == 8 and len(one.polygon().holes) == 1
    assert one.polygon().exterior.min() == 0 and one.polygon().exterior.max() == 3
    assert one.area == 12


def test_a_mask_without_a_pixel_has_no_polygon():
    nothing = dataclasses.replace(of_two_pieces(), mask_probs=np.zeros((9, 9), np.float32))
    assert nothing.polygon() is None and nothing.polygons() == [] and nothing.area == 0
    assert not nothing.mask().any()


def test_it_cannot_be_changed():
    one = two()[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.score = 1.0
    with pytest.raises(ValueError, match="read-only"):
        one.mask_probs[0, 0] = 0


@pytest.mark.parametrize("method", ["mask", "rle", "polygon", "polygons"])
def test_a_threshold_is_a_probability(method):
    with pytest.raises(InputError, match="threshold must be from 0 to 1, got 1.5"):
        getattr(two()[0], method)(1.5)
    if "polygon" in method:
        with pytest.raises(InputError, match="tolerance"):
            getattr(two()[0], method)(tolerance=-1)
