"""Polygons that a COCO file holds in another form than COCO's: what they clearly mean."""

from __future__ import annotations

from collections import Counter
from typing import TypeGuard

_FEWEST = 3
"""Least number of points of a ring."""

_POINTS = "polygons given as points [x, y]: read as they are meant"
_NULL = "polygons that are null left out of masks"


def read_rings(value: object, notes: Counter[str]) -> list[list[float]] | None:
    """Return rings of x0, y0, x1, y1, ... of what JSON has; None where it is not clear what is meant.

    Clear are a ring as points ``[[x, y], ...]``, several of those, and null among rings.

    Args:
        value: what stands in the file.
        notes: counts what was read in another way than it stands there.
    """
    if not isinstance(value, list):
        return None
    given = [item for item in value if item is not None]
    if are_points(given):
        rings, kind = [_joined(given)], _POINTS
    elif all(_are_numbers(item) for item in given):
        rings, kind = given, ""
    elif all(_are_numbers(item) or are_points(item) for item in given):
        rings, kind = [item if _are_numbers(item) else _joined(item) for item in given], _POINTS
    else:
        return None
    notes.update({kind: 1} if kind else {})
    notes[_NULL] += len(value) - len(given)
    return rings


def are_points(value: object) -> TypeGuard[list[list[float]]]:
    """Return whether a value is a ring as points, and so no list of rings: those have more than one point."""
    return (
        isinstance(value, list)
        and len(value) >= _FEWEST
        and all(_are_numbers(point) and len(point) == 2 for point in value)
    )


def _joined(points: list[list[float]]) -> list[float]:
    return [number for point in points for number in point]


def _are_numbers(value: object) -> TypeGuard[list[float]]:
    return isinstance(value, list) and all(
        isinstance(number, float | int) and not isinstance(number, bool) for number in value
    )
