"""Globs whose ``**`` looks into each folder once, however many links lead to it."""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from edgeblend.files.paths import is_dir

_ANY_DEPTH = "**"


def glob_once(pattern: Path) -> Iterator[Path]:
    """Yield what a pattern matches, as :func:`glob.glob` with ``recursive`` does.

    That follows every link, and so goes round in circles where one leads back up, until the system's limit of
    nested links ends it. A match may come more than once where a pattern has several ``**``.
    """
    parts = pattern.parts
    if _ANY_DEPTH not in parts:
        # Not Path.glob, which takes no absolute pattern and finds hidden files.
        yield from map(Path, glob.iglob(str(pattern)))  # noqa: PTH207
        return
    place = parts.index(_ANY_DEPTH)
    rest = parts[place + 1 :] or ("*",)
    tops = sorted(glob.glob(str(Path(*parts[:place])))) if place else ["."]  # noqa: PTH207
    for top in tops:
        for folder in _folders(Path(top)):
            yield from glob_once(Path(glob.escape(str(folder)), *rest))


def _folders(top: Path) -> Iterator[Path]:
    """Yield a folder and all below it that are not hidden, each once, in a stable order.

    What is reached through links comes after what lies there itself, so that it goes by its own name.
    """
    seen: set[str] = set()
    links = deque([top])
    while links:
        waiting = [links.popleft()]
        while waiting:
            folder = waiting.pop()
            real = os.path.realpath(folder)
            if real in seen or not is_dir(folder):
                continue
            seen.add(real)
            yield folder
            entries = _entries(folder)
            links += [folder / entry.name for entry in entries if entry.is_symlink()]
            waiting += [folder / entry.name for entry in reversed(entries) if _is_real_folder(entry)]


def _is_real_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:  # not ours to look into; glob passes it over, too
        return []
    return sorted(visible, key=lambda entry: entry.name)
