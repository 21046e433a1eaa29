"""Frames that pass by once, kept on disk."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import cv2

from edgeblend.calibration.data.frames import Frame, Unreadable
from edgeblend.errors import InputError, OutputError
from edgeblend.files.temporary import TemporaryFolder
from edgeblend.runtime.images import read_image


class Spool:
    """A frame source that frames are put into: PNG files in a temporary folder.

    The folder goes with :meth:`close`, or with the object.
    """

    def __init__(self, description: str) -> None:
        self.description = description
        folder = _temporary_folder(description)
        self._folder = Path(folder.name)
        self._names: dict[int, str] = {}
        self._remove = weakref.finalize(self, folder.cleanup)

    def put(self, frame: Frame) -> None:
        """Keep a frame.

        Raises:
            OutputError: the disk is full.
        """
        # As OpenCV does it unless told otherwise: higher levels take twice as long for a tenth less.
        _, data = cv2.imencode(".png", frame.picture)
        try:
            self._file(frame.index).write_bytes(data.tobytes())
        except OSError as error:
            raise OutputError(
                f"{self._folder}: cannot keep a copy of {frame.name}: {error}; make room, set TMPDIR to a "
                "folder with more, or hand in files, which need no copies"
            ) from None
        self._names[frame.index] = frame.name

    def keep(self, indices: Collection[int]) -> None:
        """Delete all other frames; a file that cannot be deleted goes with the folder."""
        for index in self._names.keys() - indices:
            del self._names[index]
            with suppress(OSError):
                self._file(index).unlink()

    def read(self, chosen: Collection[int] | None = None) -> Iterator[Frame | Unreadable]:
        """See :class:`edgeblend.calibration.data.frames.FrameSource`."""
        for index in sorted(self._names if chosen is None else chosen):
            if not self._remove.alive:
                raise InputError(f"the copies of {self.description} were deleted when the set was closed")
            yield Frame(index, self._names[index], read_image(self._file(index)))

    def close(self) -> None:
        """Delete the folder; reading afterwards is an error."""
        self._remove()

    def _file(self, index: int) -> Path:
        return self._folder / f"{index}.png"


def _temporary_folder(description: str) -> TemporaryFolder:
    try:
        return TemporaryFolder()
    except OSError as error:
        raise OutputError(
            f"{description}: no temporary folder to keep frames in ({error.strerror}); set TMPDIR to "
            "one that can be written, or hand in files, which need no copies"
        ) from None
