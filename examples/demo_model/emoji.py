"""The pictures of objects: cut-outs with transparency, ready for resampling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from objects import CLASS_PICTURES, DISTRACTOR_PICTURES, categories
from sources import Package, read_members

from edgeblend.errors import InputError

EMOJI = Package(
    "npm",
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "lobehub-fluent-emoji-3d-1.1.0.tgz",
    "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
)

_LEVELS = 4  # 256, 128, 64 and 32 px
_OPAQUE = 0.5


@dataclass(frozen=True, slots=True)
class Cutout:
    """One object's picture at several sizes.

    Attributes:
        name: code points of the emoji.
        levels: premultiplied BGRA pictures (h, w, 4) float32 in 0..1, each half the size of the one
            before: resampling never shrinks by more than two, so it needs no low-pass filter of its own.
    """

    name: str
    levels: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class ObjectLibrary:
    """All objects there are to paste.

    Attributes:
        classes: (category id, its cut-outs) of every class.
        distractors: cut-outs of no class.
    """

    classes: tuple[tuple[int, tuple[Cutout, ...]], ...]
    distractors: tuple[Cutout, ...]


def load_objects(cache: Path) -> ObjectLibrary:
    """Return the objects, from the emoji package.

    Raises:
        InputError: the package could not be fetched, or one of its files is not a picture.
    """
    names = {name for pictures in CLASS_PICTURES.values() for name in pictures} | set(DISTRACTOR_PICTURES)
    content = read_members(EMOJI, cache, [_member(name) for name in names])
    ids = [int(str(category["id"])) for category in categories()]
    return ObjectLibrary(
        tuple(
            (category_id, tuple(_cutout(name, content[_member(name)]) for name in pictures))
            for category_id, pictures in zip(ids, CLASS_PICTURES.values(), strict=True)
        ),
        tuple(_cutout(name, content[_member(name)]) for name in DISTRACTOR_PICTURES),
    )


def _member(name: str) -> str:
    return f"package/assets/{name}.webp"


def _cutout(name: str, data: bytes) -> Cutout:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        raise InputError(
            f"expected a picture with transparency, got {None if image is None else image.shape}: {name}"
        )
    return cutout_of(name, np.asarray(image, np.uint8))


def cutout_of(name: str, bgra: NDArray[np.uint8]) -> Cutout:
    """Return a picture (H, W, 4) BGRA, trimmed to what is opaque, as a cut-out."""
    picture = bgra.astype(np.float32) / 255
    rows, columns = np.nonzero(picture[..., 3] > _OPAQUE)
    # A rim of two pixels keeps the soft edge.
    top, left = max(rows.min() - 2, 0), max(columns.min() - 2, 0)
    picture = picture[top : rows.max() + 3, left : columns.max() + 3]
    picture[..., :3] *= picture[..., 3:]
    levels = [np.ascontiguousarray(picture, np.float32)]
    while len(levels) < _LEVELS:
        height, width = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, np.float32))
    return Cutout(name, tuple(levels))
