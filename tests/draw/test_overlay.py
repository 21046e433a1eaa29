import cv2
import numpy as np
import pytest
from PIL import Image

import edgeblend.draw
from edgeblend.draw.overlay import draw, instance_colour
from edgeblend.errors import InputError
from edgeblend.results import Instances

FRAME = (120, 200)


def grey_frame(size=FRAME):
    return np.full((*size, 3), 128, np.uint8)


def instances_of(boxes, frame_size=FRAME, probability=1.0):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(boxes)
    return Instances(
        boxes=boxes,
        scores=np.linspace(0.98, 0.5, count, dtype=np.float32),
        classes=np.zeros(count, np.int64),
        class_names=("person",),
        mask_probs=np.full((count, 8, 8), probability, np.float32),
        mask_boxes=boxes,
        frame_size=frame_size,
    )


def blended(colour):
    return np.array(colour) * 0.45 + 128 * 0.55


def test_no_instances_is_a_copy():
    frame = grey_frame()
    drawn = draw(frame, instances_of([]))
    assert np.array_equal(drawn, frame)
    assert not np.shares_memory(drawn, frame)


def test_the_frame_stays_untouched():
    frame = grey_frame()
    draw(frame, instances_of([[20, 30, 180, 110]]))
    assert (frame == 128).all()


def test_a_mask_is_tinted_and_the_rest_is_not():
    drawn = draw(grey_frame(), instances_of([[20, 30, 180, 110]]))
    assert np.allclose(drawn[70, 100], blended(instance_colour(0)), atol=1)
    assert (drawn[:, 185:] == 128).all()
    assert (drawn[114:] == 128).all()


def test_an_empty_mask_leaves_box_and_label():
    drawn = draw(grey_frame(), instances_of([[20, 30, 180, 110]], probability=0.1))
    assert (drawn[70, 100] == 128).all()
    assert tuple(drawn[70, 20]) == instance_colour(0)
    assert tuple(drawn[109, 100]) == instance_colour(0)


def test_of_two_that_overlap_the_higher_score_lies_on_top():
    drawn = draw(grey_frame(), instances_of([[20, 30, 180, 110], [20, 30, 180, 110]]))
    below = blended(instance_colour(1))
    assert np.allclose(drawn[70, 100], np.array(instance_colour(0)) * 0.45 + below * 0.55, atol=2)
    assert tuple(drawn[70, 20]) == instance_colour(0)


def test_colours_can_be_chosen():
    drawn = draw(grey_frame(), instances_of([[20, 30, 180, 110]]), colours=[7])
    assert np.array_equal(
        draw(grey_frame(), instances_of([[20, 30, 180, 110]])),
        draw(grey_frame(), instances_of([[20, 30, 180, 110]]), colours=[0]),
    )
    assert np.allclose(drawn[70, 100], blended(instance_colour(7)), atol=1)


def test_a_mask_of_its_objects_colour_still_has_an_outline():
    frame = np.full((*FRAME, 3), instance_colour(0), np.uint8)
    drawn = draw(frame, instances_of([[20, 30, 180, 110]])).astype(int)
    across = drawn[70, 170:190].sum(axis=1)
    assert across.min() < 0.7 * sum(instance_colour(0))
    assert tuple(drawn[70, 100]) == instance_colour(0)


def label_pixels(drawn, index=0):
    return (drawn == instance_colour(index)).all(axis=2)


@pytest.mark.parametrize("box", [[60, 0, 140, 60], [160, 40, 200, 110], [0, 100, 30, 120], [0, 0, 200, 120]])
def test_a_label_is_filled_and_whole_wherever_the_box_is(box):
    drawn = draw(grey_frame(), instances_of([box], probability=0.0))
    filled = label_pixels(drawn).sum()
    inside = label_pixels(draw(grey_frame(), instances_of([[50, 50, 130, 110]], probability=0.0))).sum()
    outline = 2 * (box[2] - box[0] + box[3] - box[1])
    assert filled > inside - 2 * (80 + 60) - 4  # as much background as the label of a box in the middle
    assert filled > outline


def test_labels_of_equal_boxes_do_not_hide_each_other():
    drawn = draw(grey_frame(), instances_of([[50, 50, 150, 110]] * 3, probability=0.0))
    counts = [label_pixels(drawn, index).sum() for index in range(3)]
    assert min(counts) > 400


def test_labels_grow_with_the_frame():
    small = draw(grey_frame((400, 400)), instances_of([[50, 200, 350, 390]], (400, 400), 0.0))
    large = draw(grey_frame((1600, 1600)), instances_of([[200, 800, 1400, 1560]], (1600, 1600), 0.0))
    assert label_pixels(large)[:790].sum() > 6 * label_pixels(small)[:195].sum()


def test_the_first_hundred_colours_are_distinct_and_stable():
    colours = [instance_colour(index) for index in range(100)]
    assert len(set(colours)) == 100
    assert colours == [instance_colour(index) for index in range(100)]
    neighbours = np.abs(np.diff(np.array(colours, int), axis=0)).max(axis=1)
    assert neighbours.min() > 60


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_frames_smaller_than_a_label(size):
    drawn = draw(grey_frame(size), instances_of([[0, 0, size[1], size[0]]], size))
    assert drawn.shape == (*size, 3)
    assert (drawn != 128).any()


def test_boxes_beyond_the_frame_and_without_area():
    frame = grey_frame()
    drawn = draw(frame, instances_of([[-50, -50, 300, 300], [40, 40, 40, 40], [199.6, 119.6, 200, 120]]))
    assert drawn.shape == frame.shape


def test_strided_and_grey_frames():
    instances = instances_of([[20, 30, 180, 110]])
    expected = draw(grey_frame(), instances)
    assert np.array_equal(draw(grey_frame()[::-1, :, ::-1], instances), expected)
    assert np.array_equal(draw(np.full(FRAME, 128, np.uint8), instances), expected)


def test_the_frame_of_other_instances_is_refused():
    with pytest.raises(InputError, match=r"\(120, 200\), got \(60, 100\)"):
        draw(grey_frame((60, 100)), instances_of([]))


def test_the_method_draws_what_the_function_draws(tmp_path):
    frame = np.random.default_rng(0).integers(0, 255, (*FRAME, 3), np.uint8)
    found = instances_of([[20, 30, 180, 110], [0, 0, 60, 50]])
    expected = draw(frame, found)
    cv2.imwrite(str(tmp_path / "a.png"), frame)
    rgb = np.ascontiguousarray(frame[..., ::-1])
    np.testing.assert_array_equal(found.draw(frame), expected)
    np.testing.assert_array_equal(found.draw(tmp_path / "a.png"), expected)
    np.testing.assert_array_equal(found.draw(Image.fromarray(rgb)), expected)
    assert not np.array_equal(expected, frame)
    np.testing.assert_array_equal(found.draw(frame, colours=[3, 4]), draw(frame, found, colours=[3, 4]))
    assert not np.array_equal(found.draw(frame, colours=[3, 4]), expected)


@pytest.mark.parametrize("colours", [[1], [1, 2, 3], [1, -1], [1, 2.5], 5, "12"])
def test_colours_are_one_number_per_instance(colours):
    found = instances_of([[20, 30, 180, 110], [0, 0, 60, 50]])
    assert draw(grey_frame(), found, colours=np.array([1, 2])).shape == (*FRAME, 3)
    with pytest.raises(InputError, match="colours"):
        draw(grey_frame(), found, colours=colours)


def test_rgb_in_is_rgb_out():
    frame = np.random.default_rng(0).integers(0, 255, (*FRAME, 3), np.uint8)
    found = instances_of([[20, 30, 180, 110]])
    rgb = np.ascontiguousarray(frame[..., ::-1])
    before = rgb.copy()
    drawn = found.draw(rgb, color="rgb")
    np.testing.assert_array_equal(drawn[..., ::-1], found.draw(frame))
    np.testing.assert_array_equal(rgb, before)


def test_everything_public_is_there():
    assert sorted(edgeblend.draw.__all__) == edgeblend.draw.__all__
    assert edgeblend.draw.draw is draw
    for name in edgeblend.draw.__all__:
        assert getattr(edgeblend.draw, name)
