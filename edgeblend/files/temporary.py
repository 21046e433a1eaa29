"""Temporary folders that do not stay where their process was killed.

A process that is killed removes nothing. So each folder is locked for as long as its process lives, and
whoever makes the next one removes those whose lock is free. On Windows, and on file systems without locks,
they stay until the system clears its temporary folder.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from edgeblend.errors import OutputError

PREFIX = "edgeblend-temporary-"
_OURS = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")


class TemporaryFolder:
    """A temporary folder, which goes with :meth:`cleanup`, with this object, or after its process has gone.

    That something in it cannot be removed is no error; ``tempfile.TemporaryDirectory`` of Python 3.11 recurs
    without end then.
    """

    def __init__(self) -> None:
        """Make one.

        Raises:
            OSError: there is no place that can be written to.
        """
        remove_abandoned()
        while True:
            self.name = tempfile.mkdtemp(prefix=PREFIX)
            try:
                descriptor = _lock(Path(self.name), exclusive=False)
                break
            except (BlockingIOError, FileNotFoundError):  # taken for abandoned, in the moment before the lock
                continue
            except BaseException:
                _remove(self.name, None)
                raise
        self._remove = weakref.finalize(self, _remove, self.name, descriptor)

    def cleanup(self) -> None:
        """Remove it."""
        self._remove()

    def __enter__(self) -> str:
        """Return its path."""
        return self.name

    def __exit__(self, *error: object) -> None:
        """Remove it."""
        self.cleanup()


def temporary_folder(what: str) -> TemporaryFolder:
    """Return a new temporary folder.

    Args:
        what: what it is for; the message starts with it.

    Raises:
        OutputError: there is no place that can be written to.
    """
    try:
        return TemporaryFolder()
    except OSError as error:
        raise OutputError(
            f"{what}: there is no temporary folder to work in ({error.strerror}); set TMPDIR to one that can "
            "be written"
        ) from error


def remove_abandoned() -> None:
    """Remove temporary folders of processes that have gone; what cannot be removed stays."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).iterdir():
            if _OURS.fullmatch(path.name):
                _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    try:
        descriptor = _lock(path, exclusive=True)
    except OSError:  # its process lives, it went this moment, or it is somebody else's
        return
    if descriptor is not None:
        _remove(str(path), descriptor)


def _remove(path: str, descriptor: int | None) -> None:
    """Remove a folder, and let go of its lock after that."""
    try:
        shutil.rmtree(path, ignore_errors=True)
    finally:
        # Once more, for what Ctrl-C interrupted or another program had open.
        shutil.rmtree(path, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: Path, *, exclusive: bool) -> int | None:
    """Lock a folder; returns what holds the lock, or None where there are no locks.

    Raises:
        BlockingIOError: it is locked.
        FileNotFoundError: it has gone.
        OSError: it cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        path.lstat()  # gone by now?
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError) and not isinstance(error, BlockingIOError | FileNotFoundError):
            return None
        raise
    return descriptor
