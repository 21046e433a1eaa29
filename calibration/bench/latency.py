"""One frame at a time: whole frames and their graphs alone, by turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from edgeblend.calibration.bench.graphs import PreparedFrame, Sessions, run_prepared
from edgeblend.calibration.bench.report import STAGES, Latency, times_of
from edgeblend.calibration.evaluation.accuracy import Segment
from edgeblend.results import Instances


class FrameTimer:
    """Times the frames of one segmenter."""

    def __init__(self, segment: Segment, sessions: Sessions, frames: Sequence[PreparedFrame]) -> None:
        """Time a segmenter over these very sessions."""
        self._segment, self._sessions, self._frames = segment, sessions, frames
        self._whole_ms: list[float] = []
        self._graphs_ms: list[float] = []
        self._rle_ms: list[float] = []
        self._stages_ms: dict[str, list[float]] = {stage: [] for stage in STAGES}

    def take_turn(self, seconds: float) -> None:
        """Time frames until so many seconds have passed, at least one.

        The first frame is not timed: see :data:`edgeblend.calibration.measuring.turns.TURN`.
        """
        end = time.perf_counter() + seconds
        self._segment(self._next().picture)
        while True:
            self._time(self._next())
            if time.perf_counter() >= end:
                return

    def latency(self) -> Latency:
        """Return the figures over all turns; at least one was taken."""
        ratios = np.divide(self._whole_ms, self._graphs_ms)
        return Latency(
            frames=len(self._whole_ms),
            stages={stage: times_of(values) for stage, values in self._stages_ms.items()},
            frame=times_of(self._whole_ms),
            graphs=times_of(self._graphs_ms),
            over_graphs=float(np.median(ratios)),
            rle=times_of(self._rle_ms),
        )

    def _next(self) -> PreparedFrame:
        return self._frames[len(self._whole_ms) % len(self._frames)]

    def _time(self, frame: PreparedFrame) -> None:
        """Time a whole frame and its graphs alone; another one of them comes first each time."""
        if len(self._whole_ms) % 2:
            self._time_graphs(frame)
            self._time_whole(frame)
        else:
            self._time_whole(frame)
            self._time_graphs(frame)

    def _time_graphs(self, frame: PreparedFrame) -> None:
        self._graphs_ms.append(_milliseconds(lambda: run_prepared(self._sessions, frame)))

    def _time_whole(self, frame: PreparedFrame) -> None:
        start = time.perf_counter()
        instances = self._segment(frame.picture)
        self._whole_ms.append((time.perf_counter() - start) * 1e3)
        self._take_stages(instances)
        self._rle_ms.append(_milliseconds(instances.rle))

    def _take_stages(self, instances: Instances) -> None:
        for stage, values in self._stages_ms.items():
            values.append(instances.timings_ms.get(stage, 0.0))


def _milliseconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1e3
