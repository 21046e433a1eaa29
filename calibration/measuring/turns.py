"""Segmenters that take turns on the same pictures: what else a machine does then slows all of them alike."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.accuracy import Segment
from edgeblend.results import Instances

ENGINE_STAGES = ("detector", "basis")
"""Stages of ``Instances.timings_ms`` that a frame spends in its engine."""
TURN = 8
"""Pictures that a segmenter does at a time. Engines keep threads spinning for some milliseconds after a
frame, at the cost of who comes next, so the first frame of a turn is not timed; it warms caches up, too."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Speed:
    """Times in milliseconds over the frames timed."""

    frame_ms: float
    """Median time from a decoded BGR array to its instances."""
    graphs_ms: float
    """Median time spent in the engine."""
    frame_p90_ms: float
    """90th percentile of the time per frame."""
    graphs_p90_ms: float
    frames: int

    @property
    def frames_per_second(self) -> float:
        """Frames per second, end to end."""
        return 1e3 / self.frame_ms

    @property
    def graphs_per_second(self) -> float:
        """Frames per second of the graphs alone."""
        return 1e3 / self.graphs_ms


class TimedSegmenter:
    """One that is timed."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._frame_ms = array("d")
        self._graphs_ms = array("d")

    def take_turn(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        """Segment pictures, and time all but the first (which may be the only one)."""
        found = []
        for index, picture in enumerate(pictures):
            start = time.perf_counter()
            instances = self._segment(picture)
            frame_ms = (time.perf_counter() - start) * 1e3
            found.append(instances)
            if index or len(pictures) == 1:
                self._frame_ms.append(frame_ms)
                self._graphs_ms.append(sum(instances.timings_ms.get(stage, 0.0) for stage in ENGINE_STAGES))
        return found

    def speed(self) -> Speed:
        """Return the figures over all turns; at least one was taken."""
        return Speed(
            frame_ms=float(np.median(self._frame_ms)),
            graphs_ms=float(np.median(self._graphs_ms)),
            frame_p90_ms=float(np.percentile(self._frame_ms, 90)),
            graphs_p90_ms=float(np.percentile(self._graphs_ms, 90)),
            frames=len(self._frame_ms),
        )


def rotated(items: Sequence[_Item], turn: int) -> list[_Item]:
    """Return the items with another one first each turn."""
    first = turn % len(items) if items else 0
    return [*items[first:], *items[:first]]


def turns(
    items: Sequence[_Item], *, what: str = "compare", progress: bool = False
) -> Iterator[Sequence[_Item]]:
    """Yield pictures a turn at a time, with a bar on stderr if wanted."""
    from tqdm import tqdm

    with tqdm(total=len(items), desc=what, unit="picture", leave=False, disable=not progress) as bar:
        for start in range(0, len(items), TURN):
            yield items[start : start + TURN]
            bar.update(len(items[start : start + TURN]))


def counted(items: Sequence[_Item], what: str, *, unit: str, progress: bool = False) -> Iterator[_Item]:
    """Yield items one by one, likewise."""
    from tqdm import tqdm

    yield from tqdm(items, desc=what, unit=unit, leave=False, disable=not progress)
