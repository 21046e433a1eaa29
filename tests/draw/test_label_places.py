import pytest

from edgeblend.draw.label_places import place_labels

FRAME = (200, 120)  # width, height
SIZE = (40, 10)


def only(box, frame=FRAME, size=SIZE):
    (place,) = place_labels([box], [size], frame)
    return place


def shared(a, b):
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def test_no_boxes():
    assert place_labels([], [], FRAME) == []


def test_a_label_sits_on_its_box():
    assert only((50, 40, 150, 100)) == (50, 30, 90, 40)


def test_a_large_box_at_the_top_has_it_within():
    assert only((50, 0, 150, 100)) == (50, 0, 90, 10)


def test_a_small_box_at_the_top_has_it_below_where_it_hides_nothing():
    assert only((50, 0, 80, 15)) == (50, 15, 90, 25)


def test_a_box_at_the_right_has_it_moved_into_the_frame():
    assert only((190, 40, 200, 60)) == (160, 30, 200, 40)


@pytest.mark.parametrize(
    "box", [(-30, -30, 10, 5), (190, 110, 260, 150), (0, 0, 200, 120), (-9, -9, 300, 300), (90, 60, 91, 61)]
)
def test_labels_lie_within_the_frame(box):
    x0, y0, x1, y1 = only(box)
    assert (x1 - x0, y1 - y0) == SIZE
    assert min(x0, y0) >= 0 and x1 <= 200 and y1 <= 120


def test_a_label_larger_than_the_frame_begins_at_its_corner():
    assert only((0, 0, 5, 5), frame=(5, 5)) == (0, 0, 40, 10)


def test_equal_boxes_get_places_apart():
    places = place_labels([(80, 50, 120, 70)] * 6, [SIZE] * 6, FRAME)
    pairs = [(a, b) for i, a in enumerate(places) for b in places[:i]]
    assert [shared(a, b) for a, b in pairs] == [0] * 15


def test_the_first_box_chooses_first():
    first, second = place_labels([(50, 40, 150, 100), (50, 40, 150, 100)], [SIZE] * 2, FRAME)
    assert first == only((50, 40, 150, 100))
    assert second != first


def test_a_label_does_not_hide_a_small_neighbour():
    small = (55, 25, 75, 38)
    place, _ = place_labels([(50, 40, 150, 100), small], [SIZE] * 2, FRAME)
    assert shared(only((50, 40, 150, 100)), small) > 0  # as it would without the neighbour
    assert shared(place, small) == 0


def test_a_label_keeps_off_what_another_box_would_claim():
    place, _ = place_labels([(50, 60, 150, 110), (0, 10, 95, 62)], [SIZE] * 2, FRAME)
    assert place == (110, 50, 150, 60)
