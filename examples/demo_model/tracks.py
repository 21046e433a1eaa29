"""How the objects of the video move: each crosses the frame on a curve, turning and changing its size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from emoji import Cutout, ObjectLibrary
from paste import Pose

Point = tuple[float, float]

_SECONDS = (6.0, 8.5)
_LENGTHS = (45.0, 140.0)  # px, halfway through its course


@dataclass(frozen=True, slots=True)
class Track:
    """The course of one object.

    Attributes:
        category_id: COCO's id of its class.
        cutout: its picture.
        start: seconds, when its course begins; before 0 for what is in the first frame.
        duration: seconds.
        course: (x, y) in the frame at its beginning, a point that it is drawn to, and its end: the
            control points of a quadratic Bezier curve.
        lengths: px, the longer side of the object at its beginning and its end.
        angles: degrees, counter-clockwise, at its beginning and its end.
        mirrored: left and right exchanged.
    """

    category_id: int
    cutout: Cutout
    start: float
    duration: float
    course: tuple[Point, Point, Point]
    lengths: tuple[float, float]
    angles: tuple[float, float]
    mirrored: bool


def pose_at(track: Track, time: float) -> Pose | None:
    """Return how the object lies in the frame at ``time`` in seconds; None before and after its course."""
    share = (time - track.start) / track.duration
    if not 0 <= share <= 1:
        return None
    weights = ((1 - share) ** 2, 2 * share * (1 - share), share**2)
    x, y = (sum(w * point[axis] for w, point in zip(weights, track.course, strict=True)) for axis in (0, 1))
    length = track.lengths[0] * (track.lengths[1] / track.lengths[0]) ** share
    angle = track.angles[0] + (track.angles[1] - track.angles[0]) * share
    return Pose(length, angle, 1.0, track.mirrored, (x, y))


def random_tracks(
    rng: np.random.Generator, library: ObjectLibrary, count: int, size: tuple[int, int], seconds: float
) -> list[Track]:
    """Return the courses of ``count`` objects, all of different classes, the largest first.

    They set off one after the other, the first ones before the video begins.
    """
    first, last = -0.7 * _SECONDS[0], seconds - 0.5 * _SECONDS[0]
    tracks = []
    for index, which in enumerate(rng.choice(len(library.classes), count, replace=False)):
        category_id, cutouts = library.classes[which]
        start = first + (last - first) * index / max(count - 1, 1)
        tracks.append(_random_track(rng, category_id, cutouts[rng.integers(len(cutouts))], start, size))
    return sorted(tracks, key=lambda track: -math.prod(track.lengths))


def _random_track(
    rng: np.random.Generator, category_id: int, cutout: Cutout, start: float, size: tuple[int, int]
) -> Track:
    length = math.exp(rng.uniform(math.log(_LENGTHS[0]), math.log(_LENGTHS[1])))
    growth = math.exp(rng.uniform(-0.3, 0.3))
    lengths = (length / growth, length * growth)
    comes_from = rng.uniform(0, 2 * math.pi)
    goes_to = comes_from + math.pi + rng.uniform(-0.8, 0.8)
    height, width = size
    # A Bezier curve stays well within its middle control point, so that may lie near the frame's edge.
    middle = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height)
    course = (_outside(comes_from, lengths[0], size), middle, _outside(goes_to, lengths[1], size))
    angle = rng.uniform(-25, 25)
    angles = (angle, angle + rng.uniform(-45, 45))
    duration = rng.uniform(*_SECONDS)
    return Track(category_id, cutout, start, duration, course, lengths, angles, bool(rng.random() < 0.5))


def _outside(direction: float, length: float, size: tuple[int, int]) -> Point:
    """Return the nearest point in a direction from the frame's centre where nothing of an object shows."""
    height, width = size
    x, y = math.cos(direction), math.sin(direction)
    # An object of this length reaches at most half its diagonal, 0.71 of it, plus a shadow.
    margin = 0.9 * length
    distance = min((width / 2 + margin) / max(abs(x), 1e-9), (height / 2 + margin) / max(abs(y), 1e-9))
    return width / 2 + distance * x, height / 2 + distance * y
