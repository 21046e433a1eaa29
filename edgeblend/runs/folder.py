"""The folder that a run writes: what in it is a run's own, and files in it that are whole or absent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn

from edgeblend.errors import InputError, OutputError
from edgeblend.files import paths
from edgeblend.files.junk import is_junk
from edgeblend.runs.journal import (
    JOURNAL_FILE,
    Header,
    Journal,
    Picture,
    is_torn_header,
    read_header,
    read_lines,
)
from edgeblend.terminal.printing import as_text

INSTANCES_FILE = "instances.json"
OVERLAYS = "overlays"
_PART = ".run.part"
"""Name of the one file that is being written. All have this name, so that what a kill leaves is known."""
_LONGEST_NAME = 255  # bytes, on the file systems of today


def check_out(out: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse a folder before long work starts.

    Raises:
        InputError: there is no run to resume in it.
        OutputError: it cannot be made, or holds something that may not be replaced.
    """
    _check_place(out)
    found = _names(out)
    if not found:
        return
    if resume:
        if not _has_run(out):
            raise InputError(f"{out}: holds no run to resume ({JOURNAL_FILE}); choose another folder")
        return
    if not overwrite:
        more = ", --resume to go on with it," if _has_run(out) else ""
        raise OutputError(f"{out}: already has files in it; choose another folder{more} or pass --overwrite")
    if foreign := sorted(found - _own_names(out)):
        others = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise OutputError(
            f"{out}: holds files that `edgeblend run` did not write ({foreign[0]}{others}), "
            "so it is not overwritten; choose another folder"
        )


def clear(out: Path) -> None:
    """Remove what an earlier run wrote, what systems left beside its overlays, and nothing else.

    Raises:
        OutputError: something cannot be removed, or another run is writing there.
    """
    journal = out / JOURNAL_FILE
    names = _own_names(out)
    if not names:
        return
    try:
        if read_header(journal) is not None:
            with Journal(journal, None, end=journal.stat().st_size):  # nobody else writes it
                pass
        # The journal goes last: whatever happens on the way, it still tells what else is a run's.
        for name in sorted(names - {JOURNAL_FILE, OVERLAYS}):
            (out / name).unlink(missing_ok=True)
        if paths.is_dir(out / OVERLAYS):
            for file in [file for file in (out / OVERLAYS).iterdir() if is_junk(file.name)]:
                file.unlink()
            (out / OVERLAYS).rmdir()
        journal.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: an earlier run cannot be removed: {error}") from error


def begin(out: Path, header: Header, *, overlays: bool) -> Journal:
    """Make the folder, or find it empty, and begin a journal in it.

    Raises:
        OutputError: it cannot be made; nothing of it is there then.
    """
    folders = (out / OVERLAYS, out, *out.parents)  # the deepest first
    made = [folder for folder in folders if not os.path.lexists(folder)]
    journal: Journal | None = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        # First the journal, which tells a later run that the rest is a run's.
        journal = Journal(out / JOURNAL_FILE, header)
        if overlays:
            (out / OVERLAYS).mkdir(exist_ok=True)
        sync_folder(out)
    except BaseException as error:
        if journal is not None:
            journal.close()
            with contextlib.suppress(OSError):
                journal.path.unlink()
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise OutputError(f"{out}: cannot be written: {error}") from error
        raise
    return journal


def go_on(out: Path, end: int, *, overlays: bool) -> Journal:
    """Open the journal in the folder, cut off after ``end``, to go on with it.

    Raises:
        OutputError: it cannot be written, or another run writes it.
    """
    journal = Journal(out / JOURNAL_FILE, None, end=end)
    try:
        if overlays:  # somebody may have deleted them
            (out / OVERLAYS).mkdir(exist_ok=True)
    except OSError as error:
        journal.close()
        raise OutputError(f"{out / OVERLAYS}: cannot be written: {error}") from error
    return journal


@contextmanager
def whole_file(out: Path, name: str, *, synced: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write, which gets its name when the block ends well; what is there stays until then.

    Raises:
        OutputError: it cannot be written.
    """
    part = out / _PART
    try:
        with part.open("wb") as file:
            yield file
            if synced:
                file.flush()
                os.fsync(file.fileno())
        part.replace(out / name)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"{out / name}: cannot be written: {error}") from error
        raise
    if synced:
        sync_folder(out)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder put on disk, where the system has folders as files."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def overlay_names(paths: Sequence[Path]) -> list[str]:
    """Return a file name for each picture's overlay, which is text; equal stems get a number."""
    names: list[str] = []
    used: set[str] = set()
    for path in paths:
        stem, number = as_text(path.stem), 1
        name = _named(stem, ".jpg")
        while name.lower() in used:
            number += 1
            name = _named(stem, f"-{number}.jpg")
        used.add(name.lower())
        names.append(name)
    return names


def _named(stem: str, ending: str) -> str:
    """Return a stem and an ending, the stem cut to what a file system takes."""
    while len(os.fsencode(stem)) + len(ending) > _LONGEST_NAME:
        stem = stem[:-1]
    return stem + ending


def _check_place(out: Path) -> None:
    if paths.exists(out) and not paths.is_dir(out):
        raise OutputError(f"{out}: is a file; the results need a folder")
    existing = next(folder for folder in (out, *out.absolute().parents) if os.path.lexists(folder))
    if not paths.is_dir(existing):
        raise OutputError(f"{out}: cannot be written: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{out}: cannot be written: no permission to write into {existing}")


def _names(out: Path) -> set[str]:
    """Return the files and folders in a folder, however deep, without what systems leave behind."""

    def refuse(error: OSError) -> NoReturn:
        raise OutputError(f"{out}: cannot be read: {error}; choose another folder") from error

    if not paths.exists(out):
        return set()
    found: set[str] = set()
    for folder, folders, files in os.walk(out, onerror=refuse):
        folders[:] = [name for name in folders if not is_junk(name)]
        names = (*folders, *(name for name in files if not is_junk(name)))
        found |= {(Path(folder) / name).relative_to(out).as_posix() for name in names}
    return found


def _has_run(out: Path) -> bool:
    return read_header(out / JOURNAL_FILE) is not None or is_torn_header(out / JOURNAL_FILE)


def _own_names(out: Path) -> set[str]:
    """Return what a run wrote, or was writing; nothing where there is no journal of one."""
    if not _has_run(out):
        return set()
    pictures = (line for line, _ in read_lines(out / JOURNAL_FILE) if isinstance(line, Picture))
    overlays = {f"{OVERLAYS}/{picture.overlay}" for picture in pictures if picture.overlay is not None}
    return {JOURNAL_FILE, INSTANCES_FILE, OVERLAYS, _PART, *overlays}
