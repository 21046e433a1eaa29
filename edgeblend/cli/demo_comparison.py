"""How accurate and how fast each candidate of the demo is, measured side by side in one pass."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from edgeblend.cli.demo_candidates import Candidate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeblend.calibration.accuracy import Accuracy
    from edgeblend.calibration.coco import CocoDataset, CocoImage
    from edgeblend.results import Instances

ENGINE_STAGES = ("detector", "basis")
"""Of ``Instances.timings_ms``: the time that a frame spends in its engine."""
_TURN = 8
"""Pictures that a candidate does at a time. Engines keep threads spinning for some milliseconds after a
frame, at the cost of who comes next, so the first frame of a turn is not timed; it warms caches up, too."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians over frames."""

    frame_ms: float
    """From a decoded BGR picture to its instances."""
    graphs_ms: float
    """Of that, in the engine."""
    frames: int

    @property
    def frames_per_second(self) -> float:
        """End to end."""
        return 1e3 / self.frame_ms

    @property
    def graphs_per_second(self) -> float:
        """Of the graphs alone."""
        return 1e3 / self.graphs_ms


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate and what came out."""

    candidate: Candidate
    accuracy: Accuracy
    speed: Speed


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compare(
    candidates: Sequence[Candidate], dataset: CocoDataset, *, progress: bool = False
) -> list[Measured]:
    """Run every candidate on every picture, and return accuracy and speed of each.

    The candidates take turns, and each round is begun by another one: whatever else the machine does slows
    all of them alike.

    Raises:
        InputError: a picture cannot be read, or faster-coco-eval is not installed.
    """
    from edgeblend.calibration.accuracy import measure_accuracy
    from edgeblend.calibration.coco import read_picture

    runs = [_Run(candidate) for candidate in candidates]
    for turn, images in enumerate(_turns(dataset.images, progress=progress)):
        pictures = {image.id: read_picture(image) for image in images}
        first = turn % len(runs)
        for run in runs[first:] + runs[:first]:
            run.take_turn(pictures)
    return [Measured(run.candidate, measure_accuracy(dataset, run.found), run.speed()) for run in runs]


def _turns(images: Sequence[CocoImage], *, progress: bool) -> Iterator[Sequence[CocoImage]]:
    from tqdm import tqdm

    with tqdm(total=len(images), unit="picture", leave=False, disable=not progress) as bar:
        for start in range(0, len(images), _TURN):
            yield images[start : start + _TURN]
            bar.update(len(images[start : start + _TURN]))


class _Run:
    """What one candidate found, and how long it took."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.found: dict[int, Instances] = {}
        self._frame_ms: list[float] = []
        self._graphs_ms: list[float] = []

    def take_turn(self, pictures: Mapping[int, NDArray[np.uint8]]) -> None:
        """Segment pictures, by image id, and time all but the first (which may be the only one)."""
        for index, (image_id, picture) in enumerate(pictures.items()):
            start = time.perf_counter()
            instances = self.candidate.segmenter(picture)
            frame_ms = (time.perf_counter() - start) * 1e3
            self.found[image_id] = instances
            if index or len(pictures) == 1:
                self._frame_ms.append(frame_ms)
                self._graphs_ms.append(sum(instances.timings_ms.get(stage, 0.0) for stage in ENGINE_STAGES))

    def speed(self) -> Speed:
        """Return the medians over the frames that were timed."""
        return Speed(median(self._frame_ms), median(self._graphs_ms), len(self._frame_ms))
