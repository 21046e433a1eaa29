"""What is at the place of a result before long work starts: what may be replaced, and nothing else."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgeblend.errors import OutputError
from edgeblend.files import paths
from edgeblend.files.json_errors import NOT_JSON
from edgeblend.files.junk import is_junk, is_junk_path
from edgeblend.files.write_errors import cannot_write


@dataclass(frozen=True, slots=True)
class Found:
    """What was at a path when it was looked at: the only thing that may be replaced there."""

    state: tuple[Any, ...] | None
    """State of what is there; None where nothing is."""


def look_at(path: Path, *, named: Path | None = None) -> Found:
    """Return what is at a path now: nothing, a file, or a folder with all that is in it.

    Args:
        path: where to look.
        named: what an error calls it; None: by its path.

    Raises:
        OutputError: nothing can be written there, since the path is too long or closed to us.
    """
    try:
        return Found(_state(path))
    except FileNotFoundError:
        return Found(None)
    except OSError as error:
        raise cannot_write(named or path, error) from error
    except ValueError as error:  # a NUL character
        raise OutputError(f"{str(path)!r}: cannot be written: {error}; choose another name") from error


def check_file(path: Path, *, overwrite: bool) -> Found:
    """Refuse a file to write before long work starts; returns what is there, for :func:`write_atomically`.

    Raises:
        OutputError: something is there and may not be overwritten, or its folder is not there.
    """
    if paths.is_dir(path):
        raise OutputError(f"{path}: is a folder; name a file")
    if paths.exists(path) and not overwrite:
        raise OutputError(f"{path}: already exists; choose another name, or pass --overwrite")
    if paths.exists(path) and not (path.is_symlink() or paths.is_file(path)):
        raise OutputError(f"{path}: is a device or a pipe, which cannot be replaced; name a file")
    if not paths.is_dir(path.parent):
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
    return look_at(path)


def check_folder(out: Path, *, listing: str, overwrite: bool) -> Found:
    """Refuse a folder to write before long work starts; returns what is there, for :func:`stage_folder`.

    Args:
        out: the folder to make.
        listing: the JSON file in it whose ``files`` name everything that the command wrote.
        overwrite: whether a folder that holds nothing else may be replaced.

    Raises:
        OutputError: something is there and may not be overwritten.
    """
    if not paths.exists(out):
        return look_at(out)
    if not overwrite:
        raise OutputError(f"{out}: already exists; choose another folder, or pass --overwrite")
    if out.is_symlink() or not paths.is_dir(out):
        raise OutputError(f"{out}: is not a folder, so it is not overwritten; choose another name")
    check_not_mounted(out)
    if foreign := sorted(_files_in(out) - _listed(out / listing)):
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise OutputError(
            f"{out}: holds files that this command did not write ({foreign[0]}{more}), "
            "so it is not overwritten; choose another folder"
        )
    return look_at(out)


def check_not_mounted(out: Path) -> None:
    """Refuse to replace what cannot be renamed, such as a volume of a container.

    Raises:
        OutputError: ``out`` is where a file system is mounted.
    """
    if os.path.ismount(out):
        raise OutputError(f"{out}: is a mount point, which cannot be replaced; name a new folder in it")


def _files_in(folder: Path) -> set[str]:
    """Return the relative paths of all files but junk."""
    try:
        found = [path.relative_to(folder) for path in folder.rglob("*") if not paths.is_dir(path)]
    except OSError as error:
        raise cannot_write(folder, error) from error
    return {path.as_posix() for path in found if not is_junk_path(path.parts)}


def _state(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    own = (status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode))
    if not stat.S_ISDIR(status.st_mode):
        return (*own, status.st_size, status.st_mtime_ns)
    entries = {}
    for entry in path.iterdir():
        if not is_junk(entry.name):
            with suppress(FileNotFoundError):  # it went this moment
                entries[entry.name] = _state(entry)
    return (*own, entries)


def _listed(listing: Path) -> set[str]:
    """Return the files that a folder's listing names; none where there is no such listing."""
    try:
        files = msgspec.json.decode(listing.read_bytes())["files"]
    except (OSError, LookupError, TypeError, *NOT_JSON):
        return set()
    return {name for name in files if isinstance(name, str)} if isinstance(files, list) else set()
