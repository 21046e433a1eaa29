"""File operations that fail once: the n-th of a block, as on a full disk, without permission, or at a kill.

Whatever opens, makes, moves or removes a file raises one of Python's audit events: pathlib, shutil, zipfile
and tempfile alike. Three things raise none and are replaced while the block runs: writing to an open file,
waiting for the disk, and renaming by a system call of ours. Libraries in C++ and Rust that write files
themselves are out of reach.

    with failing(None, below=folder) as seen:  # only counts
        operation()
    for number in range(len(seen.operations)):
        with failing(number, no_space, below=folder):
            operation()
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from edgeblend.files import renaming


def no_space() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_permission() -> NoReturn:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def interrupted() -> NoReturn:
    raise KeyboardInterrupt


def killed() -> None:
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


_HERE = -1
"""What audit events have for no folder to start from."""
_EVENTS: dict[str, tuple[int, int | None]] = {
    "open": (0, None),
    "os.mkdir": (0, 2),
    "os.rename": (1, 3),
    "os.link": (1, 3),
    "os.symlink": (1, 2),
    "os.remove": (0, 1),
    "os.rmdir": (0, 1),
    "os.chmod": (0, 2),
    "os.utime": (0, 3),
    "os.truncate": (0, None),
    "os.scandir": (0, None),
    "os.listdir": (0, None),
    "tempfile.mkstemp": (0, None),
    "tempfile.mkdtemp": (0, None),
}
"""Where the path is among the event's arguments, and the folder that it starts from."""


@dataclass(slots=True)
class Seen:
    """The file operations of a block."""

    fails: int | None
    how: Callable[[], object]
    below: tuple[str, ...] | None
    operations: list[str] = field(default_factory=list)
    """Such as ``rename bundle.zip``."""
    thread: int = field(default_factory=threading.get_ident)

    @property
    def kinds(self) -> set[str]:
        """What was done, whatever to: such as ``rename``."""
        return {operation.partition(" ")[0] for operation in self.operations}

    def concerns(self, path: str) -> bool:
        """Whether an operation on a path belongs to the block."""
        if self.below is None:
            return self.thread == threading.get_ident()
        return any(path == folder or path.startswith(folder + os.sep) for folder in self.below)

    def happens(self, kind: str, path: str) -> None:
        """Count an operation that is about to happen, and let it fail if its turn has come."""
        if self.concerns(path):
            self.operations.append(f"{kind} {os.path.basename(path)}")  # noqa: PTH119
            if len(self.operations) - 1 == self.fails:
                self.how()


_active: list[Seen] = []
"""The blocks that run: audit hooks cannot be taken away, so there is one, which looks here."""


@contextmanager
def failing(
    number: int | None, how: Callable[[], object] = no_space, *, below: Path | Sequence[Path] | None = None
) -> Iterator[Seen]:
    """Let file operation ``number`` of the block fail, counted from 0; None only counts.

    Args:
        number: which.
        how: what then happens; it raises or does not return.
        below: count what any thread does in these folders; None: what this thread does anywhere.
    """
    _install()
    folders = [below] if isinstance(below, str | os.PathLike) else below
    seen = Seen(number, how, None if folders is None else tuple(_absolute(folder) for folder in folders))
    opened = _watched_open(io.open, seen)
    with (
        patch.object(builtins, "open", opened),
        patch.object(io, "open", opened),
        patch.object(os, "fsync", _watched_fsync(os.fsync, seen)),
        patch.object(renaming, "_system_rename", _watched_rename(renaming._system_rename, seen)),
    ):
        _active.append(seen)
        try:
            yield seen
        finally:
            _active.remove(seen)


def fault_numbers(operation: Callable[[], object], *, below: Path) -> range:
    """Return the numbers of an operation's file operations, by doing it once."""
    with failing(None, below=below) as seen:
        operation()
    return range(len(seen.operations))


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder by its relative name: a file's content, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


class _WatchedFile:
    """A file that is open for writing; all but what writes is the file's own."""

    def __init__(self, stream: Any, path: str, seen: Seen) -> None:  # noqa: ANN401
        self._stream, self._path, self._seen = stream, path, seen

    def write(self, data: Any) -> int:  # noqa: ANN401
        """Write half, so that there is something to be found, and then the rest."""
        whole = data if isinstance(data, str) else bytes(data)
        self._stream.write(whole[: len(whole) // 2])
        self._seen.happens("write", self._path)
        self._stream.write(whole[len(whole) // 2 :])
        return len(whole)

    def writelines(self, lines: Sequence[Any]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._stream, name)

    def __enter__(self) -> _WatchedFile:
        self._stream.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stream.__exit__(*reason)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)


def _watched_open(real: Callable[..., Any], seen: Seen) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:  # noqa: ANN401
        stream = real(file, mode, *args, **options)
        path = _absolute(file)
        return _WatchedFile(stream, path, seen) if set(mode) & set("wax+") and seen.concerns(path) else stream

    return opened


def _watched_fsync(real: Callable[[int], None], seen: Seen) -> Callable[[int], None]:
    def fsync(descriptor: int) -> None:
        seen.happens("fsync", _absolute(descriptor))
        real(descriptor)

    return fsync


def _watched_rename(real: Callable[[str, Path, Path], int], seen: Seen) -> Callable[[str, Path, Path], int]:
    def rename(flag: str, source: Path, target: Path) -> int:
        try:
            seen.happens("rename", _absolute(target))
        except OSError as error:
            return error.errno or errno.EIO
        return real(flag, source, target)

    return rename


_installed: list[bool] = []


def _install() -> None:
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _active or event not in _EVENTS:
        return
    place, start = _EVENTS[event]
    path = _absolute(arguments[place], _HERE if start is None else arguments[start])
    for seen in [*_active]:
        seen.happens(event.rpartition(".")[2], path)


def _absolute(path: Any, start: int = _HERE) -> str:  # noqa: ANN401
    """Return the whole name of a path, which may be an open file's number; of one without a name, nothing.

    Asks no disk, but for the names of open files where the system gives them.
    """
    if path is None:  # os.listdir(None) and the like
        return os.getcwd()  # noqa: PTH109
    if isinstance(path, int):
        with suppress(OSError):
            return os.readlink(f"/proc/self/fd/{path}")  # noqa: PTH115
        return ""
    folder = _absolute(start) if start != _HERE else ""
    return os.path.abspath(os.path.join(folder, os.fsdecode(path)))  # noqa: PTH100, PTH118
