"""Telling a disk that takes no more from a writer that failed for another reason.

Libraries in C++ and Rust write files of their own. When the disk is full they raise what they always raise,
a ``RuntimeError`` of four words for example. The evidence is what they say, and a system's error if they name
one.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgeblend.errors import EdgeBlendError, OutputError
from edgeblend.files import paths

HIDDEN_PREFIX = ".edgeblend-"
"""Prefix of the names of files that are not whole yet."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""System errors of a disk that is full, over quota, or has a limit on file sizes."""

_REFUSED = (*_FULL, errno.EIO, errno.EROFS)
"""Also broken, or read-only; what reads can say as well."""

_SYSTEM_ERROR = re.compile(r"\b[Oo]s error (\d+)\b")
"""How Rust names a system's error, and safetensors with it."""

_STREAM_FAILED = re.compile(r"iostream error|basic_ios::clear|PytorchStreamWriter failed")
"""What C++ says of a stream that takes no more: OpenVINO's and torch's, which name no system's error."""

_NOTHING_FREE = 1 << 20
"""Bytes: less than that is a full disk, whatever a writer said."""


def disk_failure(error: BaseException, folder: Path) -> str | None:
    """Return why a file could not be written into ``folder``; None if nothing shows that the disk is why.

    Errors of ours mean what they say, unless a disk that is full is among what they came from.
    """
    links = list(_chain(error))
    numbers = _FULL if isinstance(error, EdgeBlendError) else _REFUSED
    for link in links:
        number = _disk_error(link, numbers)
        if number is not None:
            return os.strerror(number)
    if any(_STREAM_FAILED.search(str(link)) for link in links):
        return "the disk takes no more"
    if not isinstance(error, OSError | EdgeBlendError) and _free_bytes(folder) < _NOTHING_FREE:
        return os.strerror(errno.ENOSPC)
    return None


def cannot_write(out: Path, error: Exception, disk: str | None = None) -> OutputError:
    """Return what to raise of an error while ``out`` was written; ``disk``: from :func:`disk_failure`."""
    reason = disk or getattr(error, "strerror", None) or str(error)
    name = getattr(error, "filename", None)
    place = os.fsdecode(name) if isinstance(name, str | bytes) else ""
    # A hidden name of ours would say nothing to the reader; another place does.
    ours = any(part.startswith(HIDDEN_PREFIX) for part in Path(place).parts)
    elsewhere = f": {place}" if place and place != str(out) and not ours else ""
    intact = "; what was there before is intact" if paths.exists(out) else ""
    advice = "make room, or choose another place" if disk else "choose another place"
    return OutputError(f"{out}: cannot be written: {reason}{elsewhere}{intact}; {advice}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _disk_error(error: BaseException, numbers: tuple[int, ...]) -> int | None:
    """Return the number of the system's error that one error has, or names in its text."""
    if isinstance(error, OSError):
        return error.errno if error.errno in numbers else None
    text = str(error)
    named = {int(number) for number in _SYSTEM_ERROR.findall(text)}
    return next((number for number in numbers if number in named or os.strerror(number) in text), None)


def _free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return _NOTHING_FREE  # unknown is no evidence
