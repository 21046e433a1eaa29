"""A file of results that is whole or absent."""

from __future__ import annotations

from pathlib import Path

from edgeblend.errors import OutputError


def check_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file to write before long work starts.

    Raises:
        OutputError: something is there and may not be overwritten, or its folder is not there.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: already exists; choose another name, or pass --overwrite")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file beside its place, and rename it.

    Raises:
        OutputError: it cannot be written; what was there is still there.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error}") from error
