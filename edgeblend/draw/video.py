"""A video in, the same video with its instances drawn in out."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.checks import check_path
from edgeblend.errors import InputError, OutputError
from edgeblend.files.temporary import TemporaryFolder
from edgeblend.files.write_errors import cannot_write, disk_failure

Frame = NDArray[np.uint8]
_DEFAULT_RATE = 25.0
_TRIED = 3  # frames
_HEAD = 64  # bytes
_PROBE = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Codec:
    """One way of writing a video file."""

    name: str
    fourcc: str
    suffix: str
    in_browsers: bool
    """Whether browsers play the codec."""
    written_as: str | None = None
    """Suffix that OpenCV is given; None: the codec's own."""


CODECS = (
    Codec("VP8", "VP80", ".webm", in_browsers=True, written_as=".mkv"),
    Codec("MPEG-4", "mp4v", ".mp4", in_browsers=False),
    Codec("Motion JPEG", "MJPG", ".avi", in_browsers=False),
)
"""The best first. H.264 is not among them, because OpenCV's packages cannot write it, nor VP9, which takes
four times as long as VP8: 54 seconds of one core for 250 frames of 640x480.

VP8 is written as Matroska, of which WebM is a part, and the name in the file's head is changed. For WebM
itself OpenCV's FFmpeg part writes a remark to the process's stderr, past every log: it has no tag for VP8.
"""
_MATROSKA = b"\x42\x82\x88matroska"
_WEBM = b"\x42\x82\x84webm" + b"\xec\x82\x00\x00"
"""The element DocType of a file's head, and after the shorter name an element that stands for nothing."""


@dataclass(frozen=True, slots=True)
class Video:
    """A video file that was written."""

    path: Path
    codec: Codec
    frames: int
    rate: float
    """Frames per second."""


class VideoFile:
    """A video file that can be read; iterating yields its frames, (H, W, 3) uint8 BGR, from the first on.

    ``size`` is (width, height) in pixels, ``rate`` frames per second, ``count`` the number of frames that the
    file claims to have.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open a video file.

        Raises:
            InputError: OpenCV cannot read it, or it is empty.
        """
        self.path = path = check_path("path", path)
        first = next(_frames(path), None)
        if first is None:
            raise InputError(
                f"{path}: OpenCV {cv2.__version__} reads no frame of this video; it needs its FFmpeg part, "
                "which opencv-python-headless and opencv-python have"
            )
        self.size = first.shape[1], first.shape[0]
        """(width, height)."""
        capture = cv2.VideoCapture(str(path))
        rate, self.count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        self.rate = rate if 0 < rate < 1000 else _DEFAULT_RATE

    def __iter__(self) -> Iterator[Frame]:
        """Yield (H, W, 3) uint8 BGR frames from the first on."""
        return _frames(self.path)


def write_video(
    stem: str | PathLike[str],
    frames: Iterable[Frame],
    *,
    size: tuple[int, int],
    rate: float,
    codecs: Sequence[Codec] = CODECS,
) -> Video:
    """Write frames as a video file, in the first of ``codecs`` that this OpenCV can write.

    Args:
        stem: path of the file without its suffix, which follows from the codec.
        frames: (height, width, 3) uint8 BGR each.
        size: (width, height) of every frame, in pixels.
        rate: frames per second.
        codecs: codecs to try, in order.

    Returns:
        The path with its suffix, the codec, and the number of frames written.

    Raises:
        OutputError: none of the codecs can be written, or the disk does not take the video; nothing is left.
    """
    codec = find_codec(size, codecs)
    path = check_path("stem", stem).with_suffix(codec.suffix)
    there, refused = 0, None
    with ExitStack() as failed:
        for file in (path, _written_as(path, codec)):
            failed.callback(file.unlink, missing_ok=True)
        count = _write(path, codec, frames, size, rate)
        # OpenCV's writer says nothing when the disk is full: reading tells.
        there = _readable_frames(path)
        if count and there == count:
            failed.pop_all()
            return Video(path, codec, count, rate)
        refused = _try_to_write(path.parent)
    if refused is not None:
        raise cannot_write(path, refused, disk_failure(refused, path.parent))
    raise OutputError(
        f"{path}: cannot be written whole: {there} of {count} frames can be read back; make room, or choose "
        "another place"
    )


def _try_to_write(folder: Path) -> OSError | None:
    """Return what the system says when it is to take another file."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE))
    except OSError as error:
        return error
    return None


def _readable_frames(path: Path) -> int:
    """Return how many frames a video has, by going through it."""
    capture = cv2.VideoCapture(str(path))
    try:
        return next(number for number in itertools.count() if not capture.grab())
    finally:
        capture.release()


def _written_as(path: Path, codec: Codec) -> Path:
    return path.with_suffix(codec.written_as or codec.suffix)


def find_codec(size: tuple[int, int], codecs: Sequence[Codec] = CODECS) -> Codec:
    """Return the first codec that writes frames of a size that can be read back.

    A try tells, and nothing else does: OpenCV opens a writer for some that its FFmpeg part then cannot fill.

    Raises:
        OutputError: there is none.
    """
    grey = [np.full((size[1], size[0], 3), 128, np.uint8)] * _TRIED
    with _temporary_folder() as folder:
        for codec in codecs:
            path = Path(folder) / f"{codec.fourcc}{codec.suffix}"
            if _write(path, codec, grey, size, _DEFAULT_RATE) and _readable_frames(path) == _TRIED:
                return codec
        _check_room(Path(folder))
    tried = ", ".join(codec.name for codec in codecs)
    raise OutputError(
        f"OpenCV {cv2.__version__} writes none of {tried}; install opencv-python-headless, "
        "which has its FFmpeg part"
    )


def _check_room(folder: Path) -> None:
    """Refuse a temporary folder that takes no files, which would look like a codec that is not there."""
    if error := _try_to_write(folder):
        raise OutputError(
            f"{folder.parent}: codecs cannot be tried out in this temporary folder ({error.strerror}); make "
            "room, or set TMPDIR to another"
        ) from error


def _temporary_folder() -> TemporaryFolder:
    try:
        return TemporaryFolder()
    except OSError as error:
        raise OutputError(
            f"there is no temporary folder to try out codecs in ({error.strerror}); set TMPDIR to one "
            "that can be written"
        ) from error


def _write(path: Path, codec: Codec, frames: Iterable[Frame], size: tuple[int, int], rate: float) -> int:
    """Return how many frames were written; 0 where the codec is not there."""
    written = _written_as(path, codec)
    writer = cv2.VideoWriter(str(written), cv2.VideoWriter.fourcc(*codec.fourcc), rate, size)
    count = 0
    try:
        if writer.isOpened():
            for frame in frames:
                writer.write(frame)
                count += 1
    finally:
        writer.release()
    if count and written != path:
        if not _matroska_to_webm(written):
            return 0
        written.replace(path)
    return count


def _matroska_to_webm(path: Path) -> bool:
    """Change what a file's head says that it is, at the same length; return whether it says so at all."""
    with path.open("r+b") as file:
        at = file.read(_HEAD).find(_MATROSKA)
        if at >= 0:
            file.seek(at)
            file.write(_WEBM)
    return at >= 0


def _frames(path: Path) -> Iterator[Frame]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield np.asarray(frame, np.uint8)
    finally:
        capture.release()
