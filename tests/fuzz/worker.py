"""A process that runs cases one after the other, in a place of its own, and says what each left behind."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import resource
import shutil
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

from .kinds import Kind, Seed, find_kind, make_case
from .memory import address_space, peak_memory, reset_peak
from .outcome import Outcome, fault_of, place_of

READY = "ready"
"""What a worker says first: its start is no part of a case's time."""
DUMP = "dump.txt"
"""Where ``faulthandler`` writes the stack when the process dies, or is asked for it."""
_ADDRESS_SPACE = 6 << 30
"""Bytes beyond what is mapped at the start: so that what asks for a terabyte fails alike on every machine."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of a worker, emptied before each case."""

    case: Path
    """Its input."""
    scratch: Path
    """The temporary folder."""
    current: Path
    """The working directory."""


def work(connection: Connection, home: str) -> None:
    """Run cases until there are no more; the start of a process.

    Args:
        connection: gives (kind, seed), or None at the end; gets READY, and an Outcome for each.
        home: an empty folder.
    """
    place = settle(Path(home))
    with contextlib.suppress(EOFError, BrokenPipeError):  # whoever gave the cases has gone
        connection.send(READY)
        while (task := connection.recv()) is not None:
            connection.send(run_case(find_kind(task[0]), task[1], place))


def settle(home: Path) -> Place:
    """Move this process into a folder, where nothing that it does is in the way of others."""
    place = Place(home / "case", home / "temporary", home / "current")
    _empty(place)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends its workers
    os.chdir(place.current)
    os.environ.update(HOME=str(home), TMPDIR=str(place.scratch), OPENCV_LOG_LEVEL="SILENT")
    tempfile.tempdir = str(place.scratch)
    dump = (home / DUMP).open("w")  # open as long as the process lives
    faulthandler.enable(dump)
    faulthandler.register(signal.SIGUSR1, dump)
    log = os.open(home / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):  # engines and decoders print
        os.dup2(log, descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if mapped := address_space():
        limit = mapped + _ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    tqdm.set_lock(threading.RLock())  # its own outlives a process that dies, and is then complained about
    gc.collect()
    gc.freeze()  # what was imported is never looked through again: a collection takes no time
    return place


def run_case(kind: Kind, seed: Seed, place: Place) -> Outcome:
    """Make a case's input, run the operation on it, and look at what it did."""
    _empty(place)
    os.chdir(place.current)
    try:
        make_case(kind.name, seed, place.case)
    except Exception as error:
        return Outcome(
            kind.name, seed, "failed", "the fuzzer's own fault", place_of(error.__traceback__), repr(error)
        )
    before = _listing(place)
    reset_peak()
    used = peak_memory()
    start = time.perf_counter()
    status, reason, where, message = _attempt(kind, place.case)
    seconds = time.perf_counter() - start
    grown = max(peak_memory() - used, 0)
    gc.collect()
    gc.freeze()  # also what was imported on the way: torch's 0.2 s of it would be looked through at each case
    if status != "failed":
        if left := sorted(_listing(place) ^ before):
            status, reason, where, message = (
                "failed",
                "files left behind or changed",
                kind.name,
                ", ".join(left),
            )
        elif grown > kind.memory:
            status, reason, where, message = "failed", "memory", kind.name, f"took {grown >> 20} MiB"
    return Outcome(kind.name, seed, status, reason, where, message[:2000], seconds, grown)  # type: ignore[arg-type]


def _attempt(kind: Kind, folder: Path) -> tuple[str, str, str, str]:
    """Return status, reason, place and message; the exception and all that it holds is gone afterwards."""
    try:
        kind.run(folder)
    except BaseException as error:  # whatever it is, that is what this is about
        fault = fault_of(error, kind.raises)
        text = f"{type(error).__name__}: {error}"
        if fault:
            return "failed", fault, place_of(error.__traceback__), text
        return "refused", type(error).__name__, "", text
    return "accepted", "", "", ""


def _empty(place: Place) -> None:
    for folder in (place.case, place.scratch, place.current):
        if folder.exists():
            if not any(folder.iterdir()):
                continue
            shutil.rmtree(folder)
        folder.mkdir(parents=True)


def _listing(place: Place) -> set[str]:
    """Every file of a worker's folders with its size, so that what was changed shows as well."""
    found = set()
    for top in (place.case, place.scratch, place.current):
        for folder, folders, files in os.walk(top):
            for name in (*folders, *files):
                path = Path(folder, name)
                size = path.lstat().st_size if name in files else 0
                found.add(f"{path.relative_to(top.parent)} ({size} bytes)")
    return found
