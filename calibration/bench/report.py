"""What ``bench`` measured, as plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeblend.calibration.measuring.fresh_start import FreshStart
from edgeblend.calibration.measuring.machine import Machine
from edgeblend.calibration.measuring.setups import RunOptions
from edgeblend.manifest import Part
from edgeblend.runtime.backends.base import SessionInfo

STAGES = ("preprocess", "detector", "decode", "attention", "basis", "blend", "assemble")
"""Of a frame, in their order, as ``Instances.timings_ms`` names them; ``blend`` includes RoIAlign."""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds, over the frames that were timed."""

    median: float
    p90: float
    """Nine of ten took no longer."""
    p99: float
    """99 of 100 took no longer; of fewer frames than 100 it is close to the slowest one."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One frame at a time."""

    frames: int
    """That were timed."""
    stages: Mapping[str, Times]
    """By the names of ``STAGES``; a stage that a frame does not need takes it 0 ms."""
    frame: Times
    """The whole, by the clock: from a BGR picture in memory to its instances."""
    graphs: Times
    """The graphs alone, on inputs that were prepared before: the detector, and the basis graph where the
    whole frame needs it."""
    over_graphs: float
    """Whole / graphs alone: the median of the ratios of frames that were timed one right after the other."""
    rle: Times
    """``instances.rle()``: what masks cost on top."""


@dataclass(frozen=True, slots=True)
class Streaming:
    """Many frames at a time."""

    streams: int
    """Runs that the engine was asked to compute at the same time."""
    in_flight: int
    """Frames on their way at most; the graphs alone run in as many threads."""
    frames_per_second: float
    """Of ``segmenter.stream``, median over the rounds."""
    graphs_per_second: float
    """Frames a second of the graphs alone, likewise."""
    of_graphs: float
    """Stream / graphs alone: the median of the ratios of each round; 1 where nothing is lost."""


@dataclass(frozen=True, slots=True, eq=False)
class BenchedBundle:
    """A bundle and what was measured of it."""

    name: str
    path: Path
    bytes: int
    """On disk, of all files of the bundle but its manifest."""
    canvas: tuple[int, int] | None
    """(height, width) of the network's input; None where it follows the frame."""
    frame_sizes: tuple[tuple[int, int], ...]
    """(height, width) of the frames, each once."""
    detections: float
    """Median over the frames; decoding, attention, blending and RLE take their time from it."""
    weights: Mapping[Part, str]
    """How each graph's weights are stored, as the manifest says."""
    options: RunOptions
    """Options that the bundle was opened with."""
    sessions: Mapping[Part, SessionInfo]
    """What really ran one frame at a time, in which precision, as the engine says."""
    start: FreshStart
    latency: Latency
    streaming: Streaming


@dataclass(frozen=True, slots=True, eq=False)
class BenchReport:
    """Bundles side by side, on the same frames, in one run."""

    bundles: tuple[BenchedBundle, ...]
    frames: str
    """Where the frames are from."""
    num_frames: int
    score_threshold: float | None
    """That was asked for; None: each model's own."""
    seconds: float
    """That each bundle was to be measured for."""
    machine: Machine
    features: Mapping[str, bool]
    """Whether the processor has what makes networks fast; empty where the system does not tell."""
    notes: tuple[str, ...]
    """What is to be known about the frames, a line each."""


def times_of(milliseconds: Sequence[float]) -> Times:
    """Return median and percentiles, interpolated between the two values that they lie between."""
    median, p90, p99 = np.percentile(milliseconds, (50, 90, 99)).tolist()
    return Times(median, p90, p99)
