"""Faults by injection: the n-th file operation of a block fails, as a full disk or Ctrl-C makes it fail.

Whatever opens, moves or makes a file raises one of Python's audit events: pathlib, shutil, zipfile, tempfile
alike. Writing to a file that is open raises none, so ``open`` for writing gives a file whose ``write`` is
counted. Libraries in C++ that write by themselves are out of reach.

    for number in fault_numbers(operation, below=folder):  # as many as it has file operations
        with failing(number, NO_SPACE, below=folder):
            operation()
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
NO_PERMISSION = PermissionError(errno.EACCES, os.strerror(errno.EACCES))

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_EVENTS = frozenset(
    {"os.mkdir", "os.rename", "os.truncate", "os.chmod", "os.link", "os.symlink", "tempfile.mkstemp"}
    | {"tempfile.mkdtemp"}
)
"""Audit events of operations that change something; ``open`` is one if it is for writing."""


@dataclass(slots=True)
class Counted:
    """The file operations of a block, below ``folder``."""

    folder: str
    fails: int | None
    error: BaseException
    operations: list[str] = field(default_factory=list)
    """Such as ``os.rename bundle.zip``; the last is the one that failed, if any did."""
    failed: bool = False

    def note(self, what: str, path: object) -> None:
        """Count an operation, or let it fail if its turn has come."""
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if self.failed or not os.path.abspath(name).startswith(self.folder):  # noqa: PTH100 - asks no disk
            return
        self.operations.append(f"{what} {os.path.basename(name)}")  # noqa: PTH119
        if len(self.operations) - 1 == self.fails:
            self.failed = True
            raise type(self.error)(*self.error.args)


_active: list[Counted] = []
"""The block that is counted, if any: audit hooks cannot be taken away, so there is one, which looks here."""


@contextmanager
def failing(number: int | None, error: BaseException, *, below: Path) -> Iterator[Counted]:
    """Let file operation ``number`` of the block fail, counted from 0; None only counts.

    Args:
        number: which.
        error: what is raised, each time a new one: OSError, PermissionError or KeyboardInterrupt.
        below: operations elsewhere are left alone and not counted.
    """
    _install()
    counted = Counted(os.path.abspath(below), number, error)  # noqa: PTH100 - the hook sees texts
    real_open, real_io_open = builtins.open, io.open
    _active.append(counted)
    builtins.open = io.open = _counting_open(real_open, counted)  # type: ignore[assignment]
    try:
        yield counted
    finally:
        builtins.open, io.open = real_open, real_io_open
        _active.remove(counted)


def fault_numbers(operation: Callable[[], object], *, below: Path) -> range:
    """Return the numbers of an operation's file operations, by doing it once."""
    with failing(None, NO_SPACE, below=below) as counted:
        operation()
    return range(len(counted.operations))


def _counting_open(real: Callable[..., Any], counted: Counted) -> Callable[..., Any]:
    """Return ``open`` whose files count what is written."""

    def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:  # noqa: ANN401
        stream = real(file, mode, *args, **options)
        if not set(mode) & set("wax+") or isinstance(file, int):
            return stream
        return _CountedFile(stream, file, counted)

    return opened


class _CountedFile:
    """A file that is open for writing; all but ``write`` is the file's own."""

    def __init__(self, stream: Any, path: object, counted: Counted) -> None:  # noqa: ANN401
        self._stream, self._path, self._counted = stream, path, counted

    def write(self, data: Any) -> Any:  # noqa: ANN401
        self._counted.note("write", self._path)
        return self._stream.write(data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._stream, name)

    def __enter__(self) -> _CountedFile:
        self._stream.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stream.__exit__(*reason)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)


_installed: list[bool] = []


def _install() -> None:
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _active:
        return
    if event == "open":
        path, mode, flags = arguments
        written = set(mode) & set("wax+") if isinstance(mode, str) else flags & _WRITING
        if written:
            _active[-1].note("open", path)
    elif event in _EVENTS:
        _active[-1].note(event, arguments[1] if event == "os.rename" else arguments[0])
