"""The graphs of a bundle without what surrounds them, on inputs that were prepared before."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.accuracy import Segment
from edgeblend.manifest import Manifest, Part
from edgeblend.runtime.backends.base import Array, Session
from edgeblend.runtime.pipeline import basis_feed, detect, detector_feed, prepare

Sessions = Mapping[Part, Session]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFrame:
    """A frame, and what the graphs take for it."""

    picture: NDArray[np.uint8]
    detections: int
    detector: Mapping[str, Array]
    basis: Mapping[str, Array] | None
    """None where nothing is detected, so that the basis graph does not run."""


def prepare_frame(
    segment: Segment, sessions: Sessions, manifest: Manifest, picture: NDArray[np.uint8]
) -> PreparedFrame:
    """Segment a picture, and return it with copies of what each of its graphs took."""
    instances = segment(picture)
    inputs = detector_feed(manifest, prepare(manifest, picture).canvas)
    features: dict[str, Array] | None = None
    if "basis" in instances.timings_ms:
        taken = basis_feed(manifest, detect(manifest, sessions["detector"], inputs))
        features = {name: np.array(array) for name, array in taken.items()}
    return PreparedFrame(picture, len(instances), inputs, features)


def run_prepared(sessions: Sessions, frame: PreparedFrame) -> None:
    """Run the graphs that a frame needs, one after the other."""
    sessions["detector"].run(frame.detector)
    if frame.basis is not None:
        sessions["basis"].run(frame.basis)


def stream_prepared(
    sessions: Sessions, frames: Sequence[PreparedFrame], *, in_flight: int
) -> Generator[float, None, None]:
    """Run the graphs of frame after frame without end, in as many threads as frames are in flight.

    Yields:
        When each frame was done, by ``time.perf_counter``.

    Raises:
        Exception: whatever a session raises.
    """
    done: SimpleQueue[float | Exception] = SimpleQueue()
    numbers, stop = count(), threading.Event()

    def work(lane: Sessions) -> None:
        try:
            while not stop.is_set():
                run_prepared(lane, frames[next(numbers) % len(frames)])
                done.put(time.perf_counter())
        except Exception as error:
            done.put(error)

    with ExitStack() as stack:
        lanes = [_forked(sessions, stack) for _ in range(in_flight)]
        pool = stack.enter_context(ThreadPoolExecutor(in_flight, thread_name_prefix="edgeblend-bench"))
        stack.callback(stop.set)  # comes before the pool waits for its threads
        for lane in lanes:
            pool.submit(work, lane)
        while True:
            told = done.get()
            if isinstance(told, Exception):
                raise told
            yield told


def _forked(sessions: Sessions, stack: ExitStack) -> dict[Part, Session]:
    """Return sessions over the same graphs that can run at the same time; the stack closes them."""
    forks: dict[Part, Session] = {}
    for part, session in sessions.items():
        forks[part] = session.fork()
        stack.callback(forks[part].close)
    return forks
