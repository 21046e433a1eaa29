"""Where labels go: beside what they name, on no other label, and hiding as little as they can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Rectangle = tuple[int, int, int, int]
"""x0, y0, x1, y1 in frame pixels, the last two exclusive."""
Size = tuple[int, int]
"""(width, height) in pixels."""

_LABEL_HIDDEN = 10.0  # an unreadable label is worse than any hidden object
_ON_ANOTHER = 0.1  # over another object's box it could be taken for that one's
_LATER_CHOICE = 0.02  # places are listed by liking: this much of an object may be hidden to keep the first


def place_labels(boxes: Sequence[Rectangle], sizes: Sequence[Size], frame: Size) -> list[Rectangle]:
    """Return a place for the label of each box; the first box chooses first.

    Args:
        boxes: what the labels name.
        sizes: of the labels.
        frame: its size. Places lie within it, unless a label is larger than the frame.
    """
    places: list[Rectangle] = []
    for index, (box, size) in enumerate(zip(boxes, sizes, strict=True)):
        others = [*boxes[:index], *boxes[index + 1 :]]
        listed = dict.fromkeys(_fit(place, frame) for place in _wanted(box, size))
        costs = {
            place: _cost(place, box, others, places) + _LATER_CHOICE * order
            for order, place in enumerate(listed)
        }
        places.append(min(costs, key=costs.__getitem__))
    return places


def _wanted(box: Rectangle, size: Size) -> Iterator[Rectangle]:
    """Yield where a label of a box could go, the most usual place first."""
    x0, y0, x1, y1 = box
    width, height = size
    for top in (y0 - height, y0, y1, y1 - height, y0 - 2 * height, y1 + height):
        for left in (x0, x1 - width):
            yield left, top, left + width, top + height
    middle = (y0 + y1 - height) // 2
    for left in (x1, x0 - width):
        yield left, middle, left + width, middle + height


def _fit(place: Rectangle, frame: Size) -> Rectangle:
    """Return a place moved into the frame."""
    x0, y0, x1, y1 = place
    left = max(min(x0, frame[0] - (x1 - x0)), 0)
    top = max(min(y0, frame[1] - (y1 - y0)), 0)
    return left, top, left + x1 - x0, top + y1 - y0


def _cost(
    place: Rectangle, own: Rectangle, others: Sequence[Rectangle], labels: Sequence[Rectangle]
) -> float:
    """Return how bad a place is: the share of every box that it hides, of labels, and of itself elsewhere."""
    hidden = sum(_shared(place, label) / _area(label) for label in labels)
    objects = sum(_shared(place, box) / _area(box) for box in (own, *others))
    elsewhere = sum(_shared(place, box) for box in others) / _area(place)
    return _LABEL_HIDDEN * hidden + objects + _ON_ANOTHER * elsewhere


def _shared(a: Rectangle, b: Rectangle) -> int:
    """Return the pixels that two rectangles share."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def _area(rectangle: Rectangle) -> int:
    x0, y0, x1, y1 = rectangle
    return max((x1 - x0) * (y1 - y0), 1)
