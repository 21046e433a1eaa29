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
"""Stages of a frame in order, as ``Instances.timings_ms`` names them; ``blend`` includes RoIAlign."""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds over the frames timed."""

    median: float
    p90: float
    """90th percentile: nine of ten took no longer."""
    p99: float
    """99th percentile; for fewer than 100 frames it is close to the slowest one."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One frame at a time."""

    frames: int
    """Number of frames timed."""
    stages: Mapping[str, Times]
    """Times by name of the stage, see ``STAGES``; a stage that a frame does not need counts as 0 ms."""
    frame: Times
    """Time of a whole frame, by the clock: from a BGR array in memory to its instances."""
    graphs: Times
    """Time of the graphs alone, on inputs prepared before: the detector, and the basis graph where the
    whole frame needs it."""
    over_graphs: float
    """Whole frame / graphs alone: the median of the ratios of frames timed one right after the other."""
    rle: Times
    """Time of ``instances.rle()``, which comes on top."""


@dataclass(frozen=True, slots=True)
class Streaming:
    """Many frames at a time."""

    streams: int
    """Number of runs that the engine was asked to compute at the same time."""
    in_flight: int
    """Largest number of frames in flight; the graphs alone run in as many threads."""
    frames_per_second: float
    """Frames per second of ``segmenter.stream``, median over the rounds."""
    graphs_per_second: float
    """Frames per second of the graphs alone, median over the rounds."""
    of_graphs: float
    """Stream / graphs alone: the median of the ratios per round; 1 where nothing is lost."""


@dataclass(frozen=True, slots=True, eq=False)
class BenchedBundle:
    """One bundle and its figures."""

    name: str
    path: Path
    bytes: int
    """Bytes on disk of all files of the bundle but its manifest."""
    canvas: tuple[int, int] | None
    """(height, width) of the network's input; None where it follows the frame."""
    frame_sizes: tuple[tuple[int, int], ...]
    """(height, width) of the frames, each size once."""
    detections: float
    """Median number of detections per frame; decoding, attention, blending and RLE depend on it."""
    weights: Mapping[Part, str]
    """Precision in which each graph stores its weights, as the manifest says."""
    options: RunOptions
    """Options that the bundle was opened with."""
    sessions: Mapping[Part, SessionInfo]
    """Engine, device and precision of each graph when running one frame at a time, as the engine says."""
    start: FreshStart
    latency: Latency
    streaming: Streaming


@dataclass(frozen=True, slots=True, eq=False)
class BenchReport:
    """Bundles side by side, on the same frames, in one run."""

    bundles: tuple[BenchedBundle, ...]
    frames: str
    """Source of the frames."""
    num_frames: int
    score_threshold: float | None
    """Score threshold asked for; None: each model's own."""
    seconds: float
    """Seconds that each bundle was to be measured for."""
    machine: Machine
    features: Mapping[str, bool]
    """Whether the processor has what makes networks fast; empty where the system does not tell."""
    notes: tuple[str, ...]
    """Notes on the frames, one line each."""


def times_of(milliseconds: Sequence[float]) -> Times:
    """Return median and percentiles, interpolated between the two values that they lie between."""
    median, p90, p99 = np.percentile(milliseconds, (50, 90, 99)).tolist()
    return Times(median, p90, p99)
