"""The journal of a run: a line of JSON per image, written as it goes, from which everything else is made.

A line is on disk within a second or so, and what a power cut or a kill leaves of the last one is recognised.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from edgeblend.errors import OutputError
from edgeblend.files.json_errors import NOT_JSON

JOURNAL_FILE = "instances.jsonl"
_SYNC_S = 1.0


class Header(msgspec.Struct, frozen=True, tag_field="line", tag="run"):
    """The first line: what a run works on, and how. Another run may go on with it only if all is the same."""

    edgeblend: str
    """Version."""
    bundle: str
    """SHA-256 of the manifest, which has that of all files."""
    options: Mapping[str, Any]
    """Those that results depend on."""
    pictures: int
    pictures_sha256: str
    """SHA-256 of the pictures' names, in order."""


class Picture(msgspec.Struct, frozen=True, tag_field="line", tag="picture"):
    """A picture that was segmented."""

    image: msgspec.Raw
    """COCO's record, numbered from 1."""
    annotations: Sequence[msgspec.Raw]
    """COCO's records, without numbers."""
    file: str
    timings_ms: Mapping[str, float]
    overlay: str | None = None
    """Name of the file, None without overlays. It has no folders: what a journal names may be deleted."""
    overlay_bytes: int = 0

    def __post_init__(self) -> None:
        """Refuse, as msgspec reports it, what would break the COCO file, or name a file of others."""
        if not all(bytes(record).startswith(b'{"') for record in (self.image, *self.annotations)):
            raise ValueError("expected an image and annotations that are objects")
        if self.overlay is not None and not _is_file_name(self.overlay):
            raise ValueError(f"expected an overlay's name without folders, got {self.overlay!r}")


class Failure(msgspec.Struct, frozen=True, tag_field="line", tag="failure"):
    """A picture that could not be read."""

    file: str
    error: str


class End(msgspec.Struct, frozen=True, tag_field="line", tag="end"):
    """The last line: every picture was done, and the COCO file is there."""

    info: Mapping[str, Any]
    """What ran where."""


Line = Header | Picture | Failure | End
_NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_START = b'{"line":"run"'
_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
_ENCODER = msgspec.json.Encoder()


def encode(value: object) -> msgspec.Raw:
    """Return a value as a part of a line."""
    return msgspec.Raw(_ENCODER.encode(value))


def read_lines(path: Path, *, end: int | None = None) -> Iterator[tuple[Line, int]]:
    """Yield whole lines and where each ends, up to the first that is torn or damaged, or to ``end``.

    Raises:
        FileNotFoundError: there is no file (or another error of ``_NO_FILE``).
        OutputError: it cannot be read.
    """
    position = 0
    with _readable(path), path.open("rb") as file:
        for data in file:
            position += len(data)
            if not data.endswith(b"\n") or (end is not None and position > end):
                return
            try:
                line = _DECODER.decode(data.decode())  # parts that stay raw are not looked at otherwise
            except NOT_JSON:
                return
            yield line, position


def read_header(path: Path) -> Header | None:
    """Return the first line of a journal; None where there is none.

    Raises:
        OutputError: it cannot be read. That there is none would mean that what is there may go.
    """
    try:
        first = next(read_lines(path), None)
    except _NO_FILE:
        return None
    return first[0] if first is not None and isinstance(first[0], Header) else None


def is_torn_header(path: Path) -> bool:
    """Return whether a file is what a kill leaves of a journal that had just been begun.

    Raises:
        OutputError: it cannot be read.
    """
    try:
        with _readable(path):
            data = path.read_bytes()[: len(_START)] if path.stat().st_size < 1 << 20 else b"-"
    except _NO_FILE:
        return False
    return read_header(path) is None and b"\n" not in data and _START.startswith(data)


class Journal:
    """A journal that lines are added to. What was added stays, and is not kept in memory."""

    def __init__(self, path: Path, header: Header | None, *, end: int = 0) -> None:
        """Open one, cut off after ``end``; begin it where there is a header.

        Raises:
            OutputError: it cannot be written, there is one already where it is to begin, or another run
                writes it.
        """
        self.path = path
        try:
            self._file = path.open("r+b" if header is None else "xb", buffering=0)
        except OSError as error:
            raise _unwritten(path, error) from error
        self._end = end
        self._synced = time.monotonic()
        try:
            self._lock()
            self._cut()
            if header is not None:
                self.add(header)
                self.sync()
        except BaseException:
            self.close()
            if header is not None:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def add(self, line: Line) -> None:
        """Append a line: whole, or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        data = _ENCODER.encode(line) + b"\n"
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException as error:
            with contextlib.suppress(OSError):
                self._cut()
            if isinstance(error, OSError):
                raise _unwritten(self.path, error) from error
            raise
        self._end += len(data)
        if time.monotonic() - self._synced >= _SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Have the system put everything on disk.

        Raises:
            OutputError: it cannot.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritten(self.path, error) from error
        self._synced = time.monotonic()

    def lines(self) -> Iterator[Line]:
        """Yield what is in it, from the start."""
        return (line for line, _ in read_lines(self.path, end=self._end))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _cut(self) -> None:
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{self.path}: another run is writing it; choose another folder") from None
        except OSError:
            return  # a file system without locks


def _is_file_name(text: str) -> bool:
    return Path(text).name == text and text not in ("", "..") and "\0" not in text


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise an OutputError for a file that is there and cannot be read."""
    try:
        yield
    except _NO_FILE:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error}; choose another folder") from error


def _unwritten(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {error}")
