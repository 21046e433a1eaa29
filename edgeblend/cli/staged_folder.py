"""A folder of results that is whole or absent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgeblend.errors import OutputError


def check_folder(out: Path, *, listing: str, overwrite: bool) -> None:
    """Refuse a folder to write before long work starts.

    Args:
        out: the folder to make.
        listing: the JSON file in it whose ``files`` name everything that the command wrote.
        overwrite: whether a folder that holds nothing else may be replaced.

    Raises:
        OutputError: something is there and may not be overwritten.
    """
    if not (out.exists() or out.is_symlink()):
        return
    if not overwrite:
        raise OutputError(f"{out}: already exists; choose another folder, or pass --overwrite")
    if out.is_symlink() or not out.is_dir():
        raise OutputError(f"{out}: is not a folder, so it is not overwritten; choose another name")
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    if foreign := sorted(found - _written(out / listing)):
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise OutputError(
            f"{out}: holds files that this command did not write ({foreign[0]}{more}), "
            "so it is not overwritten; choose another folder"
        )


@contextmanager
def stage_folder(out: Path) -> Iterator[Path]:
    """Give an empty folder to write into; it replaces ``out`` when the block ends well.

    After an error, or an interruption, ``out`` is as it was. Call :func:`check_folder` first.

    Raises:
        OutputError: ``out`` cannot be written.
    """
    new_parents = [folder for folder in out.parents if not folder.exists()]  # deepest first
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    except OSError as error:
        _remove_empty(new_parents)
        raise OutputError(f"{out}: cannot be written: {error}") from error
    try:
        staged = work / "new"
        staged.mkdir()
        yield staged
        _publish(staged, out, work / "replaced")
    except OSError as error:  # such as a disk that is full
        raise OutputError(f"{out}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        _remove_empty(new_parents)


def _written(listing: Path) -> set[str]:
    """Return the files that a folder's listing names; none where there is no such listing."""
    try:
        files = msgspec.json.decode(listing.read_bytes())["files"]
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        return set()
    return {name for name in files if isinstance(name, str)} if isinstance(files, list) else set()


def _publish(staged: Path, out: Path, replaced: Path) -> None:
    if out.exists():
        out.rename(replaced)
    try:
        staged.rename(out)
    except OSError:
        if replaced.exists():
            replaced.rename(out)
        raise


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, the deepest first, until one has something in it."""
    for folder in folders:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue  # it was never made
        except OSError:
            return
