"""Operations on files that fail once: the n-th of everything that a piece of code does."""

import errno
import os
import sys
import threading
from contextlib import contextmanager

from edgeblend.files import renaming

KINDS = ("open", "mkdir", "rename", "link", "remove", "rmdir", "chmod", "fsync", "write", "scandir")


class Faults:
    """Counts operations on files of this thread while it is armed, and lets one of them fail."""

    def __init__(self):
        self.thread, self.operations, self.failing, self.raise_it = None, [], None, None

    @contextmanager
    def armed(self, failing=None, raise_it=None):
        self.thread, self.operations = threading.get_ident(), []
        self.failing, self.raise_it = failing, raise_it
        try:
            yield
        finally:
            self.thread = None

    def happens(self, kind):
        """Called before each operation."""
        if self.thread == threading.get_ident() and kind in KINDS:
            self.operations.append(kind)
            if len(self.operations) - 1 == self.failing:
                self.raise_it()


FAULTS = Faults()
sys.addaudithook(lambda event, arguments: FAULTS.happens(event.rpartition(".")[2]))


def watch(monkeypatch):
    """Also see what Python's audit events do not tell: waiting for the disk, and renames by system call."""
    fsync, system_rename = os.fsync, renaming._system_rename

    def watched_fsync(descriptor):
        FAULTS.happens("fsync")
        fsync(descriptor)

    def watched_rename(*call):
        try:
            FAULTS.happens("rename")
        except OSError as error:
            return error.errno
        return system_rename(*call)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(renaming, "_system_rename", watched_rename)


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def no_space():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_permission():
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def interrupted():
    raise KeyboardInterrupt


def killed():
    os._exit(9)
