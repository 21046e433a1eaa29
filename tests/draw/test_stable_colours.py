import numpy as np

from edgeblend.draw.stable_colours import StableColours
from edgeblend.results import Instances


def frame(*boxes, labels=None):
    return Instances(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.linspace(0.9, 0.5, len(boxes), dtype=np.float32),
        classes=np.array(labels or [0] * len(boxes), np.int64),
        class_names=("cat", "dog"),
        mask_probs=np.ones((len(boxes), 8, 8), np.float32),
        mask_boxes=np.array(boxes, np.float32).reshape(-1, 4),
        frame_size=(100, 100),
    )


LEFT, RIGHT = (0, 0, 20, 20), (50, 0, 70, 20)


def moved(box, by):
    x0, y0, x1, y1 = box
    return x0 + by, y0, x1 + by, y1


def test_the_first_frame_counts_from_zero():
    assert StableColours()(frame(LEFT, RIGHT)) == [0, 1]


def test_no_instances():
    colours = StableColours()
    assert colours(frame()) == []
    assert colours(frame(LEFT)) == [0]


def test_an_object_keeps_its_colour_when_the_order_changes():
    colours = StableColours()
    colours(frame(LEFT, RIGHT))
    assert colours(frame(moved(RIGHT, 3), moved(LEFT, 3))) == [1, 0]


def test_an_object_keeps_its_colour_on_its_way():
    colours = StableColours()
    assert [colours(frame(moved(LEFT, 5 * i), RIGHT)) for i in range(10)] == [[0, 1]] * 10


def test_a_jump_makes_another_object():
    colours = StableColours()
    colours(frame(LEFT))
    assert colours(frame(RIGHT)) == [1]


def test_another_class_is_another_object():
    colours = StableColours()
    colours(frame(LEFT, labels=[0]))
    assert colours(frame(LEFT, labels=[1])) == [1]


def test_the_larger_overlap_takes_the_colour():
    colours = StableColours()
    colours(frame(LEFT))
    assert colours(frame(moved(LEFT, 6), moved(LEFT, 1))) == [1, 0]


def test_an_object_is_remembered_for_a_while():
    colours = StableColours()
    colours(frame(LEFT, RIGHT))
    for _ in range(5):
        colours(frame(LEFT))
    assert colours(frame(LEFT, RIGHT)) == [0, 1]


def test_the_colour_of_an_object_long_gone_is_free_again():
    colours = StableColours()
    colours(frame(RIGHT, LEFT))
    for _ in range(20):
        colours(frame(LEFT))
    assert colours(frame(LEFT, (0, 50, 20, 70))) == [1, 0]


def test_colours_of_one_frame_differ():
    colours = StableColours()
    random = np.random.default_rng(0)
    for _ in range(50):
        corners = random.uniform(0, 80, (random.integers(0, 12), 2))
        given = colours(frame(*np.hstack([corners, corners + 20])))
        assert len(set(given)) == len(given)
