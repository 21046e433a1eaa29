"""Frames for calibration, one at a time, from wherever they come."""

from __future__ import annotations

import hashlib
import struct
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.checks import MOST, check_whole
from edgeblend.calibration.data.coco import CocoDataset
from edgeblend.calibration.data.coco_pictures import read_picture_list
from edgeblend.calibration.data.sources import expand_home, look_for_images, source_kind, why_no_file
from edgeblend.calibration.data.video import announced_frames, check_video, read_video
from edgeblend.errors import InputError
from edgeblend.runtime.images import read_image, to_bgr8

_ENDS_EARLY = 0.98
"""Of the frames that a header announces; where it only estimates them, it is off by one or two."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture."""

    index: int
    """Position in the source, from 0."""
    name: str
    """Name of the frame, such as "000123.jpg", "video.mp4#120" or "frame 7"."""
    picture: NDArray[np.uint8]
    """(H, W, 3) uint8 BGR, contiguous."""

    def digest(self) -> bytes:
        """Return the SHA-256 of height and width (two little-endian uint32) and the picture's bytes."""
        height, width = self.picture.shape[:2]
        digest = hashlib.sha256(struct.pack("<II", height, width))
        digest.update(np.ascontiguousarray(self.picture).data)
        return digest.digest()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that should be there, but cannot be used."""

    index: int
    name: str
    reason: str
    """Reason, without the frame's name."""


@runtime_checkable
class FrameSource(Protocol):
    """Where frames come from."""

    @property
    def description(self) -> str:
        """Such as "the 812 pictures of pictures/"."""

    def read(self, chosen: Collection[int] | None = None) -> Iterator[Frame | Unreadable]:
        """Yield frames lazily, in order of their index.

        Args:
            chosen: the indices wanted; None: all. Others are not yielded, nor decoded where that can be.
        """


Frames = FrameSource | CocoDataset | str | Path | Iterable[NDArray[Any]]
"""What frames can be taken from; see :func:`open_frames`."""


def open_frames(source: Frames, *, every: int | None = None) -> FrameSource:
    """Return where frames come from as something to read them from; pictures are not decoded yet.

    Args:
        source: one of

            - the path of a picture, a folder or a glob, as
              :func:`~edgeblend.calibration.data.sources.find_images` takes it;
            - the path of a COCO file (``.json``), or a data set that was read: its pictures. Annotations and
              categories are not looked at;
            - the path of a video, known by its suffix (``VIDEO_SUFFIXES``);
            - a list, a tuple or another sequence of pictures, or an array (N, H, W, C);
            - any other iterable of pictures, such as a generator; its frames can be read only once.

            Pictures of sequences and iterables are (H, W, 3) uint8 BGR; grey, BGRA and uint16 are converted
            as the runtime converts them. None, which OpenCV returns where it reads nothing, is
            :class:`Unreadable`.
        every: take every n-th frame, from the first on; None: all. Indices remain those of the source.

    Raises:
        InputError: nothing is found, OpenCV cannot read the video, ``every`` is below 1, or the source is
            none of the above. While reading: something in an iterable is neither a picture nor None.
    """
    step = 1 if every is None else check_whole("every", every, 1, MOST)
    check_frames("frames", source)
    if isinstance(source, FrameSource):
        if step > 1:
            raise InputError("an open source cannot be thinned; open it with open_frames(..., every=n)")
        return source
    if isinstance(source, str | Path):
        return _open_path(source, step)
    if isinstance(source, CocoDataset):
        return _data_set(source, step)
    if isinstance(source, Sequence | np.ndarray):
        return SequenceFrames(source, step)
    return PassingFrames(source, step)


def check_frames(name: str, source: object) -> None:
    """Refuse what is nothing to take frames from; what comes out of it is looked at when it is read.

    Args:
        name: the argument, as the caller writes it.
        source: what was given.

    Raises:
        InputError: it is of another type, or one picture alone.
    """
    if isinstance(source, np.ndarray) and source.ndim != 4:
        raise InputError(
            f"{name}: expected frames (N, H, W, C), got one array of shape {source.shape}; "
            "for one picture, or for grey ones, pass a list of them"
        )
    known = isinstance(source, FrameSource | CocoDataset | str | Path | Iterable)
    if not known or isinstance(source, bytes | Mapping):
        raise InputError(
            f"{name}: expected a path, a data set or an iterable of pictures to take frames from, "
            f"got {type(source).__name__}"
        )


class PictureFiles:
    """Files, each a picture."""

    def __init__(
        self, paths: Sequence[Path], description: str, step: int = 1, notes: Sequence[str] = ()
    ) -> None:
        self._paths, self._step = tuple(paths), step
        self._alike = {name for name, count in Counter(path.name for path in paths).items() if count > 1}
        self.description = description
        self.remarks = tuple(notes)
        """What was passed over while looking for them, one sentence each."""

    def __len__(self) -> int:
        return len(range(0, len(self._paths), self._step))

    def read(self, chosen: Collection[int] | None = None) -> Iterator[Frame | Unreadable]:
        """See :class:`FrameSource`."""
        for index in _positions(chosen, len(self._paths), self._step):
            path = self._paths[index]
            name = path.as_posix() if path.name in self._alike else path.name
            try:
                picture = read_image(path)
            except InputError as error:
                yield Unreadable(index, name, str(error).removeprefix(f"{path}: "))
            else:
                yield Frame(index, name, picture)


class VideoFrames:
    """The frames of a video file.

    Where it ends well before its header says, the next frame is :class:`Unreadable`.
    """

    def __init__(self, path: Path, step: int = 1) -> None:
        check_video(path)
        self._path, self._step = path, step
        self._announced = announced_frames(path)
        self.description = _thinned(f"frames of {path}", step)

    def __length_hint__(self) -> int:
        return len(range(0, self._announced, self._step))

    def read(self, chosen: Collection[int] | None = None) -> Iterator[Frame | Unreadable]:
        """See :class:`FrameSource`."""
        stop = None if chosen is None else max(chosen, default=-1) + 1
        index = -self._step
        for index, picture in read_video(self._path, _wanted(chosen, self._step), stop=stop):
            name = f"{self._path.name}#{index}"
            if picture is None:
                yield Unreadable(index, name, "OpenCV cannot decode this frame")
            else:
                yield Frame(index, name, picture)
        index += self._step
        if chosen is None and index < _ENDS_EARLY * self._announced:
            reason = f"the video ends before it, though its header announces {self._announced} frames"
            yield Unreadable(index, f"{self._path.name}#{index}", reason)


class SequenceFrames:
    """Pictures that can be asked for by position."""

    def __init__(self, pictures: Sequence[Any] | NDArray[Any], step: int = 1) -> None:
        self._pictures, self._step = pictures, step
        self.description = _thinned(f"{len(pictures)} frames of the {_kind(pictures)} handed in", step)

    def __len__(self) -> int:
        return len(range(0, len(self._pictures), self._step))

    def read(self, chosen: Collection[int] | None = None) -> Iterator[Frame | Unreadable]:
        """See :class:`FrameSource`."""
        for index in _positions(chosen, len(self._pictures), self._step):
            yield _frame(index, self._pictures[index])


class PassingFrames:
    """Pictures that pass by once."""

    def __init__(self, pictures: Iterable[Any], step: int = 1) -> None:
        self._pictures: Iterator[Any] | None = iter(pictures)
        self._step = step
        self.description = _thinned(f"frames of the {_kind(pictures)} handed in", step)

    def read(self, chosen: Collection[int] | None = None) -> Iterator[Frame | Unreadable]:
        """See :class:`FrameSource`.

        Raises:
            InputError: they have been read before.
        """
        if self._pictures is None:
            raise InputError(f"{self.description} have passed by and cannot be read again; hand in a list")
        pictures, self._pictures = self._pictures, None
        wanted = _wanted(chosen, self._step)
        for index, picture in enumerate(pictures):
            if index in wanted:
                yield _frame(index, picture)


def _open_path(source: str | Path, step: int) -> FrameSource:
    path, kind = expand_home(Path(source)), source_kind(source)
    if kind == "video":
        return VideoFrames(path, step)
    if kind == "COCO file":
        return _pictures_of(path, *read_picture_list(path), step)
    if kind in ("address", "camera"):
        raise InputError(f"{source}: {why_no_file(kind)}")
    found = look_for_images(source)
    if kind == "picture":
        return PictureFiles(found.paths, f"the picture {path}", step)
    return _pictures_of(source, found.paths, found.notes, step)


def _data_set(dataset: CocoDataset, step: int) -> PictureFiles:
    return _pictures_of(dataset.source, [image.path for image in dataset.images], (), step)


def _pictures_of(source: str | Path, paths: Sequence[Path], notes: Sequence[str], step: int) -> PictureFiles:
    return PictureFiles(paths, _thinned(f"{len(paths)} pictures of {source}", step), step, notes)


def notes_of(source: FrameSource) -> tuple[str, ...]:
    """Return what was passed over while a source was opened; sources of your own need not say."""
    return tuple(getattr(source, "remarks", ()))


def _thinned(what: str, step: int) -> str:
    return f"the {what}" if step == 1 else f"1 in {step} of the {what}"


def _kind(pictures: object) -> str:
    return type(pictures).__name__


def _wanted(chosen: Collection[int] | None, step: int) -> Collection[int]:
    """Return the indices to read of a source whose length is not known; to be asked, not gone through."""
    return range(0, sys.maxsize, step) if chosen is None else frozenset(chosen)


def _positions(chosen: Collection[int] | None, total: int, step: int) -> Iterable[int]:
    """Return the indices to read of a source that has ``total``, rising."""
    if chosen is None:
        return range(0, total, step)
    return sorted(index for index in set(chosen) if index < total)


def _frame(index: int, value: object) -> Frame | Unreadable:
    """Return what an iterable yields as a frame."""
    name = f"frame {index}"
    if value is None:
        reason = "None came instead of a picture, as OpenCV returns it for what it cannot read"
        return Unreadable(index, name, reason)
    try:
        picture = to_bgr8(value)  # type: ignore[arg-type]  # it says what is wrong with others
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    return Frame(index, name, np.ascontiguousarray(picture))
