"""Faults on purpose, to see that each is found; the command leaves them out unless they are named."""

from __future__ import annotations

import ctypes
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from edgeblend.errors import BundleError, InputError

from .kind import Kind, WrongResultError


def _make(random: Random, folder: Path) -> None:
    (folder / "number.txt").write_text(str(random.randrange(1_000_000)))


def _write(folder: Path) -> None:
    (folder / "number.txt").write_text("1")


def _on_thirds(fault: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return an operation that has a fault for every third number, and refuses one in four of the others."""

    def run(folder: Path) -> None:
        number = int((folder / "number.txt").read_text())
        if number % 3 == 0:
            fault(folder)
        elif number % 4 == 0:
            raise InputError(f"{number}: expected no multiple of four; take another")

    return run


def _raises(folder: Path) -> None:
    {}["name"]


def _dies(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _reads_nothing(folder: Path) -> None:
    ctypes.string_at(0)


def _exits(folder: Path) -> None:
    os._exit(3)


def _takes(folder: Path) -> None:
    np.ones((72, 1 << 20), np.uint8)


def _takes_all(folder: Path) -> None:
    taken = np.ones((400, 1 << 20), np.uint8)
    time.sleep(3600)
    taken.sum()


def _asks_for_too_much(folder: Path) -> None:
    np.ones(1 << 45, np.uint8)


def _hangs(folder: Path) -> None:
    time.sleep(3600)


def _leaves_a_file(folder: Path) -> None:
    Path(tempfile.gettempdir(), "left").write_text("x")


def _leaves_a_file_beside(folder: Path) -> None:
    (folder / "number.txt.part").write_text("x")


def _alters(folder: Path) -> None:
    (folder / "number.txt").write_text("")


class _Unlimited(InputError):
    """Says all that it was given, as no error of the package does."""

    __str__ = Exception.__str__


def _speaks_at_length(folder: Path) -> None:
    raise _Unlimited(f"expected a name, got {'x' * 2000}")


def _speaks_in_lines(folder: Path) -> None:
    raise _Unlimited("expected a name\ngot none")


def _undocumented(folder: Path) -> None:
    raise BundleError("expected a bundle, got a number; take another")


class _Unpicklable(InputError):
    __reduce__ = Exception.__reduce__

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def _does_not_pickle(folder: Path) -> None:
    raise _Unpicklable("expected one", "got two")


def _wrong_result(folder: Path) -> None:
    raise WrongResultError("boxes end outside the frame")


def _leaves(folder: Path) -> None:
    raise SystemExit(0)


PLANTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "raises": (_raises, "KeyError"),
    "leaves": (_leaves, "SystemExit"),
    "dies": (_dies, "SIGSEGV"),
    "reads-nothing": (_reads_nothing, "SIGSEGV"),
    "exits": (_exits, "the process ended with 3"),
    "takes": (_takes, "memory"),
    "takes-all": (_takes_all, "memory"),
    "asks": (_asks_for_too_much, "MemoryError"),
    "hangs": (_hangs, "hang"),
    "temporary": (_leaves_a_file, "files left behind or changed"),
    "beside": (_leaves_a_file_beside, "files left behind or changed"),
    "alters": (_alters, "files left behind or changed"),
    "long": (_speaks_at_length, "message: longer than 1000 characters"),
    "lines": (_speaks_in_lines, "message: more than one line"),
    "undocumented": (_undocumented, "BundleError, not InputError"),
    "unpicklable": (_does_not_pickle, "message: does not pickle (TypeError)"),
    "wrong": (_wrong_result, "WrongResultError"),
}
"""Each fault, and what it is to be reported as."""

KINDS = tuple(
    Kind(
        name=f"planted-{name}",
        make=_make,
        run=_on_thirds(fault),
        raises=(InputError,),
        write=_write,
        memory=64 << 20,
        seconds=1.0 if name == "hangs" else 60.0,
    )
    for name, (fault, _) in PLANTED.items()
)
