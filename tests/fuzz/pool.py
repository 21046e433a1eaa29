"""Workers that run cases side by side; one that dies, hangs or grows is a finding, and is replaced."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .kinds import Seed, find_kind
from .memory import cpu_seconds, resident
from .outcome import Outcome, place_in_dump
from .worker import DUMP, READY, work

Task = tuple[str, Seed]
"""A kind's name, and which of its cases."""

_AHEAD = 4  # tasks that a worker is given at a time: on a busy machine each wait for the next costs most
_POLL = 0.05  # seconds between two looks at time and memory
_FOR_DUMP = 0.3  # seconds that a process gets to write its stack before it is killed
_KILLED = 1.25  # times the memory of a kind; up to there the worker measures it, and better
_TO_START = 300.0  # seconds for a worker to start, the first of which imports everything
_PATIENCE = 6  # times the seconds of a kind, for a case that computes nothing or little
_RENEWED = 1000  # cases after which a worker is replaced: what C++ libraries lose adds up
_PRELOADED = (
    *(
        "numpy",
        "cv2",
        "yaml",
        "torch",
        "openvino",
        "onnxruntime",
        "ai_edge_litert.interpreter",
        "safetensors.torch",
    ),
    *(
        "edgeblend.runtime.segmenter",
        "edgeblend.calibration.data.frames",
        "edgeblend.converters.quantize.recipe_files",
    ),
    *("edgeblend.model.checkpoints.read", "edgeblend.training.learner", "edgeblend.cli"),
)
"""Imported once, in the process that workers are forked from: a new worker takes 0.2 s and not 4."""


class Pool:
    """A number of workers, to be used as a context manager."""

    def __init__(self, jobs: int) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_PRELOADED))
        self._home = Path(tempfile.mkdtemp(prefix="edgeblend-fuzz-"))
        self._workers = [_Worker(self._context, self._home / str(number)) for number in range(jobs)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield what became of each task, in the order in which they end."""
        waiting, returned = iter(tasks), deque[Task]()
        while True:
            for worker in self._workers:
                while worker.takes_more:
                    task = returned.popleft() if returned else next(waiting, None)
                    if task is None:
                        break
                    worker.give(task)
            busy = [worker for worker in self._workers if worker.tasks]
            if not busy:
                return
            ready = wait([worker.connection for worker in busy], timeout=_POLL)
            for worker in busy:
                outcome = worker.take() if worker.connection in ready else worker.check()
                if outcome is not None:
                    yield outcome
                if outcome is not None and worker.ended:
                    returned.extend(worker.tasks)
                    worker.tasks.clear()


@dataclass(slots=True)
class _Process:
    """A running worker."""

    process: Any
    connection: Connection
    cases: int = 0
    ready: bool = False


class _Worker:
    """One process after the other, in one folder."""

    def __init__(self, context: Any, home: Path) -> None:  # noqa: ANN401 - no public name for a context
        self._context, self._home = context, home
        self._running: _Process | None = None
        self.tasks: deque[Task] = deque()
        """What it was given and has not done, the first of which it is at."""
        self._given = 0.0
        self._computed = 0.0
        self._used = 0

    @property
    def connection(self) -> Connection:
        """Ready to read once the task is done, or the process is."""
        return self._start().connection

    @property
    def takes_more(self) -> bool:
        """Whether it is to be given another task."""
        return len(self.tasks) < _AHEAD and (self._running is None or self._running.cases < _RENEWED)

    @property
    def ended(self) -> bool:
        """Whether the process has gone; what it was given and has not done is for others."""
        return self._running is None

    def give(self, task: Task) -> None:
        """Hand out a task, which is known from now on, whatever becomes of the process."""
        running = self._start()
        if not self.tasks:
            self._begin()
        self.tasks.append(task)
        running.cases += 1
        with contextlib.suppress(BrokenPipeError):  # it died in between, which shows when it is read from
            running.connection.send(task)

    def take(self) -> Outcome | None:
        """Return what the process says of its task, or why it no longer can; None if it just started."""
        running = self._start()
        try:
            said: Outcome | str = running.connection.recv()
        except (EOFError, ConnectionResetError):
            running.process.join()
            return self._end(_death(running.process.exitcode))
        if said == READY:
            running.ready = True
            self._begin()
            return None
        assert isinstance(said, Outcome)
        self.tasks.popleft()
        self._begin()
        if running.cases >= _RENEWED and not self.tasks:
            self.stop()
        return said

    def check(self) -> Outcome | None:
        """Return an outcome if the task has to be ended: it takes too long, or too much."""
        running = self._start()
        kind = find_kind(self.tasks[0][0])
        limit = kind.seconds if running.ready else _TO_START
        grown = resident(running.process.pid) - self._used
        if running.ready and grown > _KILLED * kind.memory:
            return self._kill("memory", grown)
        waited = time.monotonic() - self._given
        # A busy machine lets a case wait; one that hangs computes all the time, or never comes back.
        hangs = waited > limit and cpu_seconds(running.process.pid) - self._computed > limit
        return self._kill("hang", grown) if hangs or waited > _PATIENCE * limit else None

    def stop(self) -> None:
        """End the process."""
        if self._running is not None:
            self._running.process.kill()
            self._running.process.join()
            self._running.connection.close()
        self._running = None

    def _begin(self) -> None:
        """Note time and memory, where a task begins."""
        pid = self._start().process.pid
        self._given, self._used, self._computed = time.monotonic(), resident(pid), cpu_seconds(pid)

    def _start(self) -> _Process:
        if self._running is None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home.mkdir(parents=True)
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=work, args=(theirs, str(self._home)), daemon=True)
            process.start()
            theirs.close()
            self._running = _Process(process, ours)
        return self._running

    def _kill(self, reason: str, grown: int) -> Outcome:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._start().process.pid, signal.SIGUSR1)  # writes its stack
        time.sleep(_FOR_DUMP)
        return self._end(reason, grown=max(grown, 0))

    def _end(self, reason: str, *, grown: int = 0) -> Outcome:
        (kind, seed), seconds = self.tasks.popleft(), time.monotonic() - self._given
        self.stop()
        try:
            dump = (self._home / DUMP).read_text(errors="replace")
        except OSError:
            dump = ""
        where = place_in_dump(dump) or kind
        return Outcome(kind, seed, "failed", reason, where, f"{reason} in {where}", seconds, grown)


def _death(code: int | None) -> str:
    """Say how a process ended that should not have."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"the process ended with {code}"
