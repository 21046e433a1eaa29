"""Results that are whole or absent: written beside their place under a hidden name, then renamed.

Whatever ends the writing (an error, Ctrl-C), what was there before is back and nothing of ours is left. What
came to be at the place meanwhile is never touched: the later of two writers is refused.

Every file gets the mode that the umask gives to new files, whoever wrote it.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeblend.arguments.callbacks import raised_by_caller
from edgeblend.errors import OutputError
from edgeblend.files import paths
from edgeblend.files.renaming import exchange, rename_new
from edgeblend.files.replaceable import Found, check_file, check_folder, check_not_mounted, look_at
from edgeblend.files.write_errors import HIDDEN_PREFIX, cannot_write, disk_failure

__all__ = [
    "Found",
    "check_file",
    "check_folder",
    "check_not_mounted",
    "look_at",
    "remove_leftovers",
    "stage_folder",
    "staged_files",
    "write_atomically",
    "write_whole",
]

_TRIES = 16  # for a random name that is free; one is enough but for a miracle


def write_atomically(path: Path, data: bytes, *, found: Found | None = None, durable: bool = True) -> None:
    """Write a file; see :func:`write_whole`."""
    write_whole(path, lambda file: file.write_bytes(data), found=found, durable=durable)


def write_whole(
    path: Path, write: Callable[[Path], object], *, found: Found | None = None, durable: bool = True
) -> None:
    """Write a file beside its place, and rename it.

    Args:
        path: the file to make.
        write: writes its content to the path that it is handed.
        found: what may be replaced, from :func:`check_file`; None: whatever file is there.
        durable: wait until the disk has it, so that it is whole after a power cut, too.

    Raises:
        OutputError: it cannot be written, or something else is there by now; what was there is still there.
    """
    with _reported(path), _workplace(path.parent, _make_file) as work:
        mode = stat.S_IMODE(work.stat().st_mode)
        write(work)
        _set_mode(work, mode)
        if durable:
            _sync(work)
        if found is None:
            work.replace(path)
        else:
            _publish(work, path, found)
    if durable:
        _sync_folder(path.parent)


@contextmanager
def stage_folder(out: Path, found: Found) -> Iterator[Path]:
    """Give an empty folder to write into; it becomes ``out`` when the block ends well.

    Args:
        out: the folder to make; those above it are made, too.
        found: what may be replaced, from :func:`check_folder` or :func:`look_at`.

    Raises:
        OutputError: ``out`` cannot be written, or something else is there by now.
    """
    with staged_files(out) as folder:
        yield folder
        _publish(folder, out, found)
    _sync_folder(out.parent)


@contextmanager
def staged_files(out: Path) -> Iterator[Path]:
    """Give an empty folder beside ``out``, to make ``out`` from; it goes when the block ends.

    Raises:
        OutputError: the disk does not take a file.
    """
    with _reported(out), _parents_of(out), _workplace(out.parent, _make_folder) as folder:
        yield folder


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that was killed left half-written in a folder that only we write into."""
    for path in folder.glob(f"{HIDDEN_PREFIX}*"):
        _remove(path)


# How


def _publish(staged: Path, out: Path, found: Found) -> None:
    """Rename what is staged to its place, if what is there is what was found."""
    if paths.is_dir(staged):
        _settle(staged)
    if look_at(out) not in (found, Found(None)):
        raise _changed(out, found)
    if found.state is None or not _replace(staged, out, found):
        try:
            rename_new(staged, out)
        except FileExistsError as error:
            raise _changed(out, found) from error


def _settle(folder: Path) -> None:
    """Give all files of a staged folder the modes of new ones, and wait until the disk has them."""
    mode = stat.S_IMODE(folder.stat().st_mode)  # what the umask leaves of 0777
    for path in folder.rglob("*"):
        if _is_real_folder(path):
            _set_mode(path, mode)
            _sync_folder(path)
        else:
            _set_mode(path, mode & 0o666)
            _sync(path)
    _sync_folder(folder)


def _replace(staged: Path, out: Path, found: Found) -> bool:
    """Let what is staged take the place of what was found; returns False if that has gone meanwhile.

    What was there is removed, or at ``staged`` for the caller to remove. Where the system can exchange names,
    what was there is looked at once more when nobody else can reach it, and put back if it is another.
    Elsewhere a file is replaced at once, and a folder is moved away first; a kill then leaves it hidden.
    """
    try:
        if exchange(staged, out):
            try:
                _check_same(staged, out, found)
            except BaseException:
                exchange(staged, out)
                raise
        elif _is_real_folder(staged) or _is_real_folder(out):
            _move_away_and_replace(staged, out, found)
        else:
            staged.replace(out)
    except FileNotFoundError:
        return False
    return True


def _move_away_and_replace(staged: Path, out: Path, found: Found) -> None:
    aside = _unused(out.parent)
    try:
        out.rename(aside)
        _check_same(aside, out, found)
        rename_new(staged, out)
    except BaseException:
        if paths.exists(aside):
            _put_back(aside, out)
        raise
    _remove(aside)


def _check_same(aside: Path, out: Path, found: Found) -> None:
    """Refuse what was moved away from ``out`` if it is not what was found there."""
    if look_at(aside, named=out) != found:
        raise _changed(out, found)


def _put_back(aside: Path, out: Path) -> None:
    try:
        rename_new(aside, out)
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be put back ({error.strerror}); it is called {aside} now"
        ) from error


def _changed(out: Path, found: Found) -> OutputError:
    what = "came to be" if found.state is None else "was changed"
    return OutputError(f"{out}: {what} while this was made, so it is left as it is; choose another name")


@contextmanager
def _reported(out: Path) -> Iterator[None]:
    """Turn errors of the system, and of writers on a full disk, into one that names ``out``."""
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        if raised_by_caller(error) is error:
            raise
        reason = disk_failure(error, out.parent)
        if reason is None and not isinstance(error, OSError):
            raise
        raise cannot_write(out, error, reason) from error


@contextmanager
def _parents_of(out: Path) -> Iterator[None]:
    """Make the folders above a path; those that it made go again if nothing came to be in them."""
    new = [folder for folder in out.parents if not paths.exists(folder)]  # deepest first
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in new:
            _insist(folder.rmdir)  # refused if something is in it


@contextmanager
def _workplace(parent: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Make a file or folder with a hidden name of its own; what has that name in the end is removed."""
    work = None
    try:
        for _ in range(_TRIES):
            work = _unused(parent)
            try:
                make(work)
                break
            except FileExistsError:
                work = None
        if work is None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(parent))
        yield work
    finally:
        if work is not None:
            _remove(work)


def _unused(parent: Path) -> Path:
    """Return a hidden name: random, so that processes do not meet, and short, so that any disk takes it."""
    return parent / f"{HIDDEN_PREFIX}{secrets.token_hex(4)}"


def _make_folder(path: Path) -> None:
    path.mkdir()


def _make_file(path: Path) -> None:
    path.touch(exist_ok=False)


def _remove(path: Path) -> None:
    """Remove a file or folder if it is there."""
    _insist(lambda: shutil.rmtree(path) if _is_real_folder(path) else path.unlink(missing_ok=True))


def _insist(remove: Callable[[], object]) -> None:
    """Remove something, with a second try for what another program had open, or what Ctrl-C interrupted.

    What cannot be removed stays; an interruption is raised when all is done.
    """
    interruption: BaseException | None = None
    for _ in range(2):
        try:
            remove()
            break
        except OSError:
            continue
        except BaseException as error:
            interruption = error
    if interruption is not None:
        raise interruption


def _is_real_folder(path: Path) -> bool:
    return paths.is_dir(path) and not path.is_symlink()


def _set_mode(path: Path, mode: int) -> None:
    # Only where it differs: not every file system has modes to set.
    if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def _sync(path: Path) -> None:
    # Windows needs a file that is open for writing; elsewhere the umask may have left it read-only.
    with path.open("rb+" if os.name == "nt" else "rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder, on systems that can."""
    # Not every system opens folders, nor every file system waits for them. The files are there all the same.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
