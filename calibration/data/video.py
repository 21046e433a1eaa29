"""The frames of a video file, one at a time."""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.errors import InputError
from edgeblend.files.paths import is_file
from edgeblend.runtime.images import to_bgr8

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"}
    | {".webm", ".wmv"}
)
"""What is taken for a video, in lower case; whether OpenCV reads it shows when it is opened."""


def check_video(path: Path) -> None:
    """Raise an InputError unless OpenCV reads a frame of a video file."""
    if not is_file(path):
        raise InputError(f"{path}: no such file; check the path")
    if next(read_video(path, {0}, stop=1), None) is None:
        raise InputError(
            f"{path}: OpenCV {cv2.__version__} reads no frame of this video; copy it again if it is damaged, "
            "or convert it to H.264 in .mp4"
        )


def read_video(
    path: Path, wanted: Container[int], *, stop: int | None = None
) -> Iterator[tuple[int, NDArray[np.uint8] | None]]:
    """Yield the wanted frames with their positions, in order; None for one that cannot be decoded.

    It goes through the file from the start, since seeking is not exact to the frame in every container; what
    is not wanted is passed over without being converted to BGR.

    Args:
        path: the file.
        wanted: positions, from 0.
        stop: do not go on from here; None reads to the end.
    """
    capture = cv2.VideoCapture(str(path))
    try:
        for position in count() if stop is None else range(stop):
            if not capture.grab():
                return
            if position in wanted:
                there, picture = capture.retrieve()
                yield position, to_bgr8(np.asarray(picture)) if there else None
    finally:
        capture.release()


def announced_frames(path: Path) -> int:
    """Return how many frames a video's header promises, or 0; some containers' headers only estimate it."""
    capture = cv2.VideoCapture(str(path))
    number = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    return max(int(number), 0)
