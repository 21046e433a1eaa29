import numpy as np
import pytest

from edgeblend.errors import InputError
from edgeblend.runtime.panoptic import Segment, combine_panoptic
from edgeblend.spec import PanopticSpec

SPEC = PanopticSpec(overlap_threshold=0.5, stuff_area_limit=4, instance_score_threshold=0.45)


def combine(masks, scores, semantic, classes=None, spec=SPEC):
    masks = np.array(masks, bool)
    classes = np.arange(10, 10 + len(scores)) if classes is None else np.array(classes)
    return combine_panoptic(masks, np.array(scores, np.float32), classes, np.array(semantic), spec)


def test_things_then_stuff_by_hand():
    masks = [[[0, 0, 1, 1], [0, 0, 1, 1]], [[1, 1, 1, 0], [0, 0, 0, 0]]]
    semantic = [[0, 0, 0, 0], [5, 5, 5, 5]]
    spec = PanopticSpec(overlap_threshold=0.5, stuff_area_limit=2, instance_score_threshold=0.45)
    panoptic, segments = combine(masks, [0.5, 0.9], semantic, spec=spec)
    # The second instance scores higher and comes first; the first keeps 3 of its 4 pixels.
    assert panoptic.tolist() == [[1, 1, 1, 2], [3, 3, 2, 2]]
    assert panoptic.dtype == np.int32
    assert segments == [
        Segment(id=1, is_thing=True, category_id=11, area=3, score=pytest.approx(0.9), instance=1),
        Segment(id=2, is_thing=True, category_id=10, area=3, score=0.5, instance=0),
        Segment(id=3, is_thing=False, category_id=5, area=2),
    ]


@pytest.mark.parametrize(("overlap", "kept"), [(0.5, True), (0.49, False)])
def test_an_instance_that_is_mostly_taken_is_left_out(overlap, kept):
    masks = [[[1, 1, 0, 0]], [[0, 1, 1, 0]]]  # half of the second is taken
    spec = PanopticSpec(overlap_threshold=overlap, stuff_area_limit=4, instance_score_threshold=0.45)
    panoptic, segments = combine(masks, [0.9, 0.8], [[0, 0, 0, 0]], spec=spec)
    assert len(segments) == 1 + kept
    assert panoptic[0, 2] == 2 * kept


def test_empty_and_unsure_instances_are_left_out():
    masks = [[[0, 0, 0]], [[1, 0, 0]], [[0, 1, 0]]]
    panoptic, segments = combine(masks, [0.9, 0.45, 0.44], [[0, 0, 0]])
    assert panoptic.tolist() == [[1, 0, 0]]
    assert [segment.instance for segment in segments] == [1]


def test_stuff_needs_enough_free_pixels():
    semantic = [[7, 7, 7, 7], [3, 3, 3, 3], [9, 9, 9, 0]]
    panoptic, segments = combine([[[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]], [0.9], semantic)
    # Class 7 has four pixels, one of them taken; class 9 has three.
    assert panoptic.tolist() == [[1, 0, 0, 0], [2, 2, 2, 2], [0, 0, 0, 0]]
    assert [(s.id, s.category_id, s.area) for s in segments[1:]] == [(2, 3, 4)]


def test_stuff_comes_in_ascending_order_of_class():
    semantic = np.repeat([[9], [2], [5]], 4, axis=1)
    _, segments = combine(np.zeros((0, 3, 4)), [], semantic)
    assert [(s.id, s.category_id) for s in segments] == [(1, 2), (2, 5), (3, 9)]


def test_nothing_at_all():
    panoptic, segments = combine(np.zeros((0, 2, 2)), [], np.zeros((2, 2), np.uint8))
    assert not panoptic.any()
    assert segments == []


def test_all_taken_by_things():
    panoptic, segments = combine(np.ones((1, 2, 2)), [0.9], [[6, 6], [6, 6]])
    assert (panoptic == 1).all()
    assert len(segments) == 1


def test_a_semantic_map_of_another_size_is_refused():
    with pytest.raises(InputError, match=r"\(2, 2\)"):
        combine(np.zeros((1, 2, 2)), [0.9], np.zeros((2, 3), int))
