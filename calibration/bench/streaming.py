"""Frames per second of a stream, beside those of its graphs alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import cycle

import numpy as np

from edgeblend.calibration.bench.graphs import PreparedFrame, Sessions, stream_prepared
from edgeblend.calibration.bench.report import Streaming
from edgeblend.runtime.segmenter import Segmenter

WAITING = 2
"""Frames in flight beyond those that the engine computes at a time, as streams have by default: one is being
prepared and one finished meanwhile."""


class StreamTimer:
    """Times the streams of one segmenter."""

    def __init__(
        self, segmenter: Segmenter, sessions: Sessions, frames: Sequence[PreparedFrame], *, streams: int
    ) -> None:
        """Time a segmenter over these very sessions, which were opened for so many streams."""
        self._segmenter, self._sessions, self._frames = segmenter, sessions, frames
        self._streams, self._in_flight = streams, streams + WAITING
        self._whole: list[float] = []
        self._graphs: list[float] = []

    def take_turn(self, seconds: float) -> None:
        """Measure the stream for half of the time and its graphs alone for the other, by turns first."""
        runs: list[tuple[Callable[[], Generator[float, None, None]], list[float]]] = [
            (self._stream, self._whole),
            (self._stream_graphs, self._graphs),
        ]
        for run, rates in reversed(runs) if len(self._whole) % 2 else runs:
            with closing(run()) as done:
                rates.append(rate_of(done, skip=self._in_flight, seconds=seconds / 2))

    def streaming(self) -> Streaming:
        """Return the figures over all turns; at least one was taken."""
        return Streaming(
            streams=self._streams,
            in_flight=self._in_flight,
            frames_per_second=float(np.median(self._whole)),
            graphs_per_second=float(np.median(self._graphs)),
            of_graphs=float(np.median(np.divide(self._whole, self._graphs))),
        )

    def _stream(self) -> Generator[float, None, None]:
        pictures = cycle([frame.picture for frame in self._frames])
        with closing(self._segmenter.stream(pictures, in_flight=self._in_flight)) as results:
            for _ in results:
                yield time.perf_counter()

    def _stream_graphs(self) -> Generator[float, None, None]:
        return stream_prepared(self._sessions, self._frames, in_flight=self._in_flight)


def rate_of(done: Iterator[float], *, skip: int, seconds: float) -> float:
    """Return how many a second there are, while as many as ever are on their way.

    Args:
        done: when each one was done, in seconds; without end.
        skip: so many pass first, at least 1: until then not all threads are at work.
        seconds: to go on for; at least ``skip`` are counted.
    """
    start = max(next(done) for _ in range(skip))
    counted = 0
    while True:
        took = next(done) - start
        counted += 1
        if counted >= skip and took >= seconds:
            return counted / took
