"""Questions about paths that always have an answer.

Before Python 3.14, ``Path.is_file`` and its siblings raise for a name that is longer than the system takes.
A long ``file_name`` in somebody's data would then end in an ``OSError`` instead of "no such file".
"""

from __future__ import annotations

import os
from pathlib import Path


def is_file(path: str | Path) -> bool:
    """Return whether a file is there, or a link to one; False for what cannot be looked at."""
    return os.path.isfile(path)  # noqa: PTH113 - pathlib's raises, see above


def is_dir(path: str | Path) -> bool:
    """Return whether a folder is there, or a link to one; False for what cannot be looked at."""
    return os.path.isdir(path)  # noqa: PTH112 - pathlib's raises, see above


def exists(path: str | Path) -> bool:
    """Return whether anything is there, a broken link included; False for what cannot be looked at."""
    return os.path.lexists(path)
