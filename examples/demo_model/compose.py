"""Composes pictures: cut-outs pasted on photographs (Dwibedi et al. 2017, "Cut, Paste and Learn").

Colours are float32 BGR in 0..1 until the picture is finished; positions are pixels of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from backdrop import finish, random_backdrop
from emoji import Cutout, ObjectLibrary
from numpy.typing import NDArray
from paste import Lighting, Pose, full_area, paste, random_lighting, random_pose, warp

Floats = NDArray[np.float32]

EMPTY_SHARE = 0.03
DISTRACTOR_SHARE = 0.12
"""Share of pictures that also show an object of no class."""
MIN_IN_FRAME = 0.35
"""Share of an object that the frame's edge must leave."""
MIN_VISIBLE = 0.25
"""Share of an object's area within the frame that later objects must leave uncovered."""
MIN_VISIBLE_AREA = 48
"""Pixels of every object that must be visible."""

_MEAN_EXTRA_OBJECTS = 4.4
_MAX_OBJECTS = 10
_ATTEMPTS = 8
_DISTRACTOR = 0  # no COCO category has this id


@dataclass(frozen=True, slots=True)
class Instance:
    """One labelled object of a picture.

    Attributes:
        category_id: COCO's id of its class.
        mask: (H, W) bool, the pixels where it is what one sees.
    """

    category_id: int
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and what it shows.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        instances: its labelled objects, those behind first.
    """

    image: NDArray[np.uint8]
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    category_id: int
    mask: NDArray[np.bool_]
    area_in_frame: int


def compose(
    rng: np.random.Generator,
    library: ObjectLibrary,
    photographs: Sequence[NDArray[np.uint8]],
    size: tuple[int, int],
) -> Scene:
    """Return a picture of ``size`` (height, width), a function of the generator's state alone.

    Every object in it that is not a distractor is labelled: an object which would show too little, or
    would hide too much of another, is tried elsewhere and in the end left out, so that no unlabelled
    remnant stays in the picture.
    """
    canvas = random_backdrop(rng, photographs, size)
    lighting = random_lighting(rng)
    placed: list[_Placed] = []
    for category_id, cutout, pose in _cast(rng, library, size):
        placed = _place(rng, canvas, placed, category_id, cutout, pose, lighting)
    instances = tuple(Instance(one.category_id, one.mask) for one in placed if one.category_id != _DISTRACTOR)
    return Scene(finish(rng, canvas), instances)


def _cast(
    rng: np.random.Generator, library: ObjectLibrary, size: tuple[int, int]
) -> list[tuple[int, Cutout, Pose]]:
    """Return the objects of a picture with their poses, in the order in which they are pasted."""
    if rng.random() < EMPTY_SHARE:
        return []
    cast: list[tuple[int, Cutout, Pose]] = []
    for _ in range(min(1 + rng.poisson(_MEAN_EXTRA_OBJECTS), _MAX_OBJECTS)):
        category_id, cutouts = library.classes[rng.integers(len(library.classes))]
        cast.append((category_id, cutouts[rng.integers(len(cutouts))], random_pose(rng, size)))
    if rng.random() < DISTRACTOR_SHARE:
        cutout = library.distractors[rng.integers(len(library.distractors))]
        cast.insert(int(rng.integers(len(cast))), (_DISTRACTOR, cutout, random_pose(rng, size)))
    # What is small is mostly in front, or it would often find no place where it shows.
    if rng.random() < 0.75:
        cast.sort(key=lambda one: -one[2].length)
    return cast


def _place(
    rng: np.random.Generator,
    canvas: Floats,
    placed: list[_Placed],
    category_id: int,
    cutout: Cutout,
    pose: Pose,
    lighting: Lighting,
) -> list[_Placed]:
    """Paste an object onto ``canvas`` where it fits; returns all objects with what is visible of them."""
    height, width = canvas.shape[:2]
    for _ in range(_ATTEMPTS):
        center = (rng.uniform(-0.04, 1.04) * width, rng.uniform(-0.04, 1.04) * height)
        patch = warp(cutout, replace(pose, center=center), (height, width))
        area = int(patch.mask.sum())
        if area < max(MIN_VISIBLE_AREA, MIN_IN_FRAME * full_area(cutout, pose)):
            continue
        mask = np.zeros((height, width), bool)
        mask[patch.top : patch.bottom, patch.left : patch.right] = patch.mask
        behind = [replace(one, mask=one.mask & ~mask) for one in placed]
        if all(_shows_enough(one) for one in behind):
            paste(rng, canvas, patch, lighting)
            return [*behind, _Placed(category_id, mask, area)]
    return placed


def _shows_enough(one: _Placed) -> bool:
    return bool(one.mask.sum() >= max(MIN_VISIBLE_AREA, MIN_VISIBLE * one.area_in_frame))
