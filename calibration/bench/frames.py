"""The frames that ``bench`` runs on: few, and in memory before anything is timed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from operator import length_hint

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.checks import check_size
from edgeblend.calibration.data.coco_file import listed
from edgeblend.calibration.data.frames import Frame, Frames, FrameSource, Unreadable, notes_of, open_frames
from edgeblend.calibration.evaluation.compare_inputs import spread
from edgeblend.errors import InputError
from edgeblend.runtime.images import to_bgr8
from edgeblend.runtime.preprocess import network_size
from edgeblend.runtime.resize import resize_antialiased
from edgeblend.spec import InputSpec

_LARGEST = 100_000_000
"""Largest number of pixels of a scaled frame; 16 frames are held at a time."""

MAX_FRAMES = 16
"""Number of frames held at a time; 16 of 12 megapixels take half a gigabyte."""


@dataclass(frozen=True, slots=True, eq=False)
class BenchFrames:
    """Pictures to run on."""

    description: str
    pictures: tuple[NDArray[np.uint8], ...]
    """(H, W, 3) uint8 BGR; at least one."""
    to_canvas: bool
    """Whether each bundle gets the frames scaled to its canvas."""
    notes: tuple[str, ...]
    """Notes on what was left out."""

    def scaled_for(self, spec: InputSpec) -> list[NDArray[np.uint8]]:
        """Return the pictures as a bundle with this input gets them."""
        if not self.to_canvas:
            return list(self.pictures)
        return [_resized(picture, network_size(_size(picture), spec)) for picture in self.pictures]


def read_bench_frames(
    source: Frames | None = None, *, frame_size: tuple[int, int] | None = None
) -> BenchFrames:
    """Return at most ``MAX_FRAMES`` frames, spread evenly over a source that says how many it has.

    Args:
        source: see :func:`~edgeblend.calibration.data.frames.open_frames`; None: the photograph that
            conversions are verified with, scaled to each bundle's canvas.
        frame_size: (height, width) to scale frames to; None leaves those of a source as they are.

    Raises:
        InputError: there are no frames, or none can be read.
    """
    frame_size = check_frame_size(frame_size)
    if source is None:
        picture = _photograph()
        pictures = (picture if frame_size is None else _resized(picture, frame_size),)
        return BenchFrames("the photograph that comes with edgeblend", pictures, frame_size is None, ())
    opened = open_frames(source)
    found: list[NDArray[np.uint8]] = []
    unreadable: list[str] = []
    for item in _few(opened):
        if isinstance(item, Unreadable):
            unreadable.append(f"{item.name}: {item.reason}")
        else:
            found.append(item.picture if frame_size is None else _resized(item.picture, frame_size))
    if not found:
        if unreadable:
            raise InputError(f"none of {opened.description} can be read: {unreadable[0]}")
        raise InputError(f"expected frames to run on, got none from {opened.description}")
    notes = notes_of(opened)
    if unreadable:
        total = len(unreadable) + len(found)
        notes += (f"{len(unreadable)} of {total} frames left out: {listed(unreadable)}",)
    return BenchFrames(opened.description, tuple(found), False, notes)


def check_frame_size(given: object) -> tuple[int, int] | None:
    """Return (height, width) to scale frames to; None where they stay as they are.

    Raises:
        InputError: no size, or one of more pixels than are scaled.
    """
    if given is None:
        return None
    height, width = check_size("frame_size", given, 1, _LARGEST)
    if height * width > _LARGEST:
        raise InputError(f"frame_size: expected at most {_LARGEST} pixels, got {height}x{width}")
    return height, width


def _few(source: FrameSource) -> Iterator[Frame | Unreadable]:
    count = length_hint(source)
    if count > MAX_FRAMES:
        return source.read(set(spread(range(count), MAX_FRAMES)))
    return islice(source.read(), MAX_FRAMES)


def _photograph() -> NDArray[np.uint8]:
    # A file beside the converters' sources, which are part of every installation; nothing of them is run.
    data = files("edgeblend.converters").joinpath("data/coffee.jpg").read_bytes()
    return to_bgr8(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)))


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(resize_antialiased(picture, size))


def _size(picture: NDArray[np.uint8]) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]
