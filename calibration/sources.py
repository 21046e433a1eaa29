"""Where pictures come from: a file, a folder or a glob, as somebody types it."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from edgeblend.errors import InputError
from edgeblend.runtime.images import IMAGE_SUFFIXES


def find_images(pattern: str | Path) -> list[Path]:
    """Return the picture files that ``pattern`` names, sorted; at least one, or it is an InputError.

    - A file: itself, whatever its suffix.
    - A folder: the pictures directly in it. For those in its sub-folders too, use ``folder/**``.
    - A glob, with ``**`` for any depth: the pictures among its matches.

    ``~`` is the home folder. A name that exists is taken as it stands, even with ``*``, ``?`` or ``[``
    in it. In folders and globs, pictures are the files with a suffix in ``IMAGE_SUFFIXES``, in any case;
    hidden ones are skipped.
    """
    if not str(pattern).strip():
        raise InputError("expected a picture, a folder or a glob, got an empty name")
    path = expand_home(Path(pattern))
    if path.is_file():
        return [path]
    if path.is_dir():
        found = _pictures(path.iterdir())
        hint = f"for its sub-folders write {path / '**'}"
    elif glob.has_magic(str(path)):
        # Not Path.glob, which takes no absolute pattern and finds hidden files.
        found = _pictures(Path(match) for match in glob.iglob(str(path), recursive=True))  # noqa: PTH207
        hint = "quote the glob if the shell expands it"
    else:
        raise InputError(f"{path}: no such file or folder; check the path")
    if not found:
        raise InputError(f"{path}: no pictures found ({' '.join(sorted(IMAGE_SUFFIXES))}); {hint}")
    return found


def expand_home(path: Path) -> Path:
    """Return ``path`` with a leading ``~`` resolved, unless it exists literally."""
    if path.exists():
        return path
    try:
        return path.expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise InputError(f"{path}: {error}; check the path") from None


def _pictures(paths: Iterable[Path]) -> list[Path]:
    """Return the visible picture files among ``paths``, sorted, each once."""
    return sorted(
        {
            path
            for path in paths
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
        }
    )
