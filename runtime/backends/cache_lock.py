"""One process at a time in a folder of compiled graphs.

Engines write a compiled graph straight to its place, and map what is there into memory. Of several OpenVINO
processes that start on one empty folder, some die of SIGBUS, since another one cut the file that they have
mapped, and some cannot compile at all (2026.4.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LOCK_NAME = ".edgeblend.lock"


@contextmanager
def cache_locked(folder: Path | None) -> Iterator[None]:
    """Hold a cache folder while an engine compiles into it or reads from it; None: there is no folder.

    Other threads and processes wait, and then find what this one has compiled. The lock ends with its
    process, however that ends. A folder that cannot be written or has no locks is not held, nor is any on
    Windows; the engine says what it needs.
    """
    file = _lock_file(folder) if folder is not None else None
    if file is None:
        yield
        return
    with file:
        _lock(file)
        try:
            yield
        finally:
            _unlock(file)


def _lock_file(folder: Path) -> IO[bytes] | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / LOCK_NAME).open("ab")
    except (OSError, ValueError):  # ValueError: a null character in the path
        return None


def _lock(file: IO[bytes]) -> None:
    with suppress(ImportError, OSError):  # Windows; a file system without locks
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _unlock(file: IO[bytes]) -> None:
    """Let go, also of what a process that was forked meanwhile holds open."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)
