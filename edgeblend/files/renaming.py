"""Renames that replace nothing unseen: two calls that Linux and macOS have and Python does not offer."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

_UNSUPPORTED = frozenset((errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV))
"""What a system or file system answers that does not have the call; EINVAL is Linux's for an unknown flag."""

_NO_LINKS = frozenset((errno.EPERM, errno.EMLINK, *_UNSUPPORTED))
"""What a file system answers that has no hard links; FAT says EPERM."""

_AT_FDCWD = -100
_LINUX = {"new": 1, "exchange": 2}  # RENAME_NOREPLACE, RENAME_EXCHANGE
_MACOS = {"new": 4, "exchange": 2}  # RENAME_EXCL, RENAME_SWAP


def rename_new(source: Path, target: Path) -> None:
    """Rename a file or folder to a name that nothing has.

    What keeps a target that came to be in the last moment, by system:

    - Linux's ``renameat2`` and macOS's ``renamex_np`` refuse it, whatever it is;
    - where a file system lacks those, a hard link refuses it for files;
    - Windows' rename refuses it;
    - else, it is looked for just before. ``rename`` itself refuses to replace a file by a folder and a
      folder that is not empty, so that what could be lost is an empty folder, or a file that came to be
      between two system calls on a file system without hard links.

    Raises:
        FileExistsError: something has the name.
        OSError: it cannot be renamed.
    """
    if _rename_with("new", source, target):
        return
    if not stat.S_ISDIR(os.lstat(source).st_mode):
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            with suppress(OSError):  # what is left of it is the caller's, who removes what it made
                source.unlink()
            return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def exchange(first: Path, second: Path) -> bool:
    """Let two files or folders swap names, at once; returns False where the system cannot do that.

    Raises:
        FileNotFoundError: one of them is not there.
        OSError: they cannot be renamed.
    """
    return _rename_with("exchange", first, second)


def _rename_with(flag: str, source: Path, target: Path) -> bool:
    """Rename with a flag; returns False where the system or the file system does not know it."""
    number = _system_rename(flag, source, target)
    if number in _UNSUPPORTED:
        return False
    if number:
        raise OSError(number, os.strerror(number), str(source), None, str(target))
    return True


def _system_rename(flag: str, source: Path, target: Path) -> int:
    """Call the system; returns 0 or an error number."""
    import ctypes

    if sys.platform not in ("linux", "darwin"):
        return errno.ENOSYS
    library = ctypes.CDLL(None, use_errno=True)
    old, new = os.fsencode(source), os.fsencode(target)
    try:
        if sys.platform == "linux":
            done = library.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, _LINUX[flag])
        else:
            done = library.renamex_np(old, new, _MACOS[flag])
    except AttributeError:  # a C library without it, such as an old musl
        return errno.ENOSYS
    return ctypes.get_errno() if done else 0
