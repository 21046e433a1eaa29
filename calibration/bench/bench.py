"""How fast bundles are: stage by stage, whole frames beside their graphs alone, streams, start and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgeblend.arguments.checks import check_flag, check_list, check_number, check_share
from edgeblend.bundle import Bundle
from edgeblend.calibration.bench.frames import BenchFrames, check_frame_size, read_bench_frames
from edgeblend.calibration.bench.graphs import PreparedFrame, Sessions, prepare_frame
from edgeblend.calibration.bench.latency import FrameTimer
from edgeblend.calibration.bench.report import BenchedBundle, BenchReport
from edgeblend.calibration.bench.streaming import StreamTimer
from edgeblend.calibration.data.frames import Frames, check_frames
from edgeblend.calibration.measuring.fresh_start import FreshStart, measure_fresh_start
from edgeblend.calibration.measuring.machine import processor_features, this_machine, usable_cores
from edgeblend.calibration.measuring.setups import (
    AnyBundle,
    RunOptions,
    Setup,
    as_setups,
    name_setups,
    resolve,
)
from edgeblend.calibration.measuring.turns import rotated
from edgeblend.errors import EdgeBlendError, EngineError, InputError, with_text
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.runtime.backends.base import Precision
from edgeblend.runtime.backends.registry import load_backend
from edgeblend.runtime.segmenter import Segmenter, SegmenterInfo
from edgeblend.runtime.sessions import engine_options, open_sessions

LATENCY_ROUNDS = 6
"""Rounds of turns; a turn costs one frame that is not timed."""
STREAMING_ROUNDS = 4
"""Rounds of streaming turns: fewer, since a turn costs twice the frames in flight."""
_WARM_UP = 3
_START_FRAMES = 3
_STREAMS_ELSEWHERE = 2
"""Streams on devices other than the CPU: one frame is computed while another is copied there or back."""

_Done = Callable[[], None]


class _Timer(Protocol):
    """A measurement that takes turns with those of other bundles."""

    def take_turn(self, seconds: float) -> None:
        """Measure for about so long."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A bundle to measure, and how it runs."""

    bundle: Bundle
    options: RunOptions
    score_threshold: float | None
    streams: int


@dataclass(frozen=True, slots=True, eq=False)
class _Warm:
    """A bundle that has run, and the frames that it ran on."""

    frames: tuple[PreparedFrame, ...]
    timer: FrameTimer
    info: SegmenterInfo

    @property
    def detections(self) -> float:
        return float(np.median([frame.detections for frame in self.frames]))


@warnings_are_no_errors()
def bench(
    bundles: Sequence[AnyBundle] | AnyBundle,
    frames: Frames | None = None,
    *,
    frame_size: tuple[int, int] | None = None,
    score_threshold: float | None = None,
    seconds: float = 10.0,
    streams: int | None = None,
    device: str = "CPU",
    precision: Precision = "f32",
    threads: int | None = None,
    progress: bool = False,
) -> BenchReport:
    """Measure how fast bundles are, by turns in one run: what else a machine does then slows all alike.

    Args:
        bundles: what to measure, one or several. Each can be an :class:`edgeblend.Setup`: a bundle with a
            device, an engine or other options of its own.
        frames: what to run on: an image, a folder, a glob, a COCO file, a video, or an iterable of (H, W, 3)
            uint8 BGR; at most 16 are taken, spread evenly. None: a photograph that comes with edgeblend,
            scaled to each bundle's canvas.
        frame_size: (height, width) to scale frames to before anything is timed; None: as they are.
        score_threshold: as for :meth:`edgeblend.Segmenter.load`. The more is found, the longer a frame takes
            after its graphs.
        seconds: how long to measure each bundle, half of it one frame at a time and half of it streaming;
            longer if a frame takes more than about a tenth of it.
        streams: frames that the engine is to compute at the same time when streaming. None: one for each of
            a bundle's threads, without them for each core; 2 on other devices than the CPU.
        device: where the engine runs every bundle whose setup names none.
        precision: what graphs are computed in, as for :meth:`edgeblend.Segmenter.load`; likewise.
        threads: CPU threads of each; None takes one per core; likewise.
        progress: whether to show a bar on stderr.

    Raises:
        BundleError: a bundle is not whole.
        EngineError: a bundle cannot be run; the message names the bundle.
        MissingPackageError: an engine is not installed; the message names the bundle.
        InputError: there are no bundles or frames, or an option's value is not valid.

    Example:
        >>> report = edgeblend.bench(["bundle", "bundle-int8"], "images", seconds=0.5)
        >>> [bundle.name for bundle in report.bundles]
        ['bundle', 'bundle-int8']
        >>> report.bundles[0].latency.frame.median > 0  # milliseconds
        True
    """
    shared = RunOptions(device=device, precision=precision, threads=threads)
    engine_options(**shared.as_arguments(), streams=1 if streams is None else streams)
    seconds = check_number("seconds", seconds, above=0)
    check_flag("progress", progress)
    frame_size = check_frame_size(frame_size)
    if frames is not None:
        check_frames("frames", frames)
    if score_threshold is not None:
        check_share("score_threshold", score_threshold)
    several = [bundles] if isinstance(bundles, str | Path | Bundle | Setup) else bundles
    entries = _load_bundles(
        as_setups("bundles", check_list("bundles", several, "bundles")),
        shared,
        score_threshold=score_threshold,
        streams=streams,
    )
    pictures = read_bench_frames(frames, frame_size=frame_size)
    turns = len(entries) * (1 + LATENCY_ROUNDS + STREAMING_ROUNDS)
    with _progress_bar(turns, shown=progress) as done:
        starts = _measure_starts(entries, pictures, done)
        with ExitStack() as stack:
            warm = {name: _warm_up(entry, pictures, stack) for name, entry in entries.items()}
            timers = {name: item.timer for name, item in warm.items()}
            _take_turns(timers, entries, rounds=LATENCY_ROUNDS, seconds=seconds / 2, done=done)
        with ExitStack() as stack:
            streamed = {name: _open_streams(entries[name], item.frames, stack) for name, item in warm.items()}
            _take_turns(streamed, entries, rounds=STREAMING_ROUNDS, seconds=seconds / 2, done=done)
    return BenchReport(
        bundles=tuple(
            _benched(name, entry, starts[name], warm[name], streamed[name]) for name, entry in entries.items()
        ),
        frames=pictures.description,
        num_frames=len(pictures.pictures),
        score_threshold=score_threshold,
        seconds=seconds,
        machine=this_machine(),
        features=processor_features(),
        notes=(*pictures.notes, *_notes(warm)),
    )


def _default_streams(options: RunOptions) -> int:
    if options.device.upper() != "CPU":
        return _STREAMS_ELSEWHERE
    return usable_cores() if options.threads is None else options.threads


def _load_bundles(
    setups: Sequence[Setup], shared: RunOptions, *, score_threshold: float | None, streams: int | None
) -> dict[str, _Entry]:
    """Return bundles by a name that tells them apart; each one's engine is there."""
    if not setups:
        raise InputError("bundles: expected at least one bundle to measure, got none")
    entries = {}
    for name, setup in zip(name_setups(setups), setups, strict=True):
        bundle = setup.bundle if isinstance(setup.bundle, Bundle) else Bundle.load(setup.bundle)
        options = resolve(setup, shared)
        count = _default_streams(options) if streams is None else streams
        entries[name] = _Entry(bundle, options, score_threshold, count)
    for entry in entries.values():
        with _naming(entry.bundle):
            load_backend(entry.options.backend or entry.bundle.manifest.target)
    return entries


def _measure_starts(
    entries: Mapping[str, _Entry], pictures: BenchFrames, done: _Done
) -> dict[str, FreshStart]:
    """Return each bundle's start. Comes first: what kills its process then does not end this one."""
    starts = {}
    for name, entry in entries.items():
        with _naming(entry.bundle):
            starts[name] = measure_fresh_start(
                entry.bundle.path,
                pictures.scaled_for(entry.bundle.manifest.input)[:_START_FRAMES],
                **entry.options.as_arguments(),
                score_threshold=entry.score_threshold,
            )
        done()
    return starts


def _open(entry: _Entry, stack: ExitStack, *, streams: int = 1) -> tuple[Segmenter, Sessions]:
    sessions = open_sessions(entry.bundle, **entry.options.as_arguments(), streams=streams)
    segmenter = Segmenter.from_sessions(
        entry.bundle, sessions, score_threshold=entry.score_threshold, streams=streams
    )
    return stack.enter_context(segmenter), sessions


def _warm_up(entry: _Entry, pictures: BenchFrames, stack: ExitStack) -> _Warm:
    manifest = entry.bundle.manifest
    with _naming(entry.bundle):
        segmenter, sessions = _open(entry, stack)
        scaled = pictures.scaled_for(manifest.input)
        for _ in range(_WARM_UP):
            segmenter(scaled[0])
        frames = tuple(prepare_frame(segmenter, sessions, manifest, picture) for picture in scaled)
        return _Warm(frames, FrameTimer(segmenter, sessions, frames), segmenter.info)


def _open_streams(entry: _Entry, frames: Sequence[PreparedFrame], stack: ExitStack) -> StreamTimer:
    with _naming(entry.bundle):
        segmenter, sessions = _open(entry, stack, streams=entry.streams)
        return StreamTimer(segmenter, sessions, frames, streams=entry.streams)


def _take_turns(
    timers: Mapping[str, _Timer], entries: Mapping[str, _Entry], *, rounds: int, seconds: float, done: _Done
) -> None:
    """Let everyone have a turn in each round, so long that all rounds take so many seconds."""
    for number in range(rounds):
        for name in rotated(list(timers), number):
            with _naming(entries[name].bundle):
                timers[name].take_turn(seconds / rounds)
            done()


def _benched(
    name: str, entry: _Entry, start: FreshStart, warm: _Warm, streamed: StreamTimer
) -> BenchedBundle:
    manifest = entry.bundle.manifest
    sizes = dict.fromkeys(frame.picture.shape[:2] for frame in warm.frames)
    return BenchedBundle(
        name=name,
        path=entry.bundle.path,
        bytes=sum(file.size for file in manifest.files),
        canvas=warm.info.canvas,
        frame_sizes=tuple((height, width) for height, width in sizes),
        detections=warm.detections,
        weights={part: graph.precision for part, graph in manifest.graphs.items()},
        options=entry.options,
        sessions=warm.info.parts,
        start=start,
        latency=warm.timer.latency(),
        streaming=streamed.streaming(),
    )


def _notes(warm: Mapping[str, _Warm]) -> list[str]:
    return [
        f"{name} detects nothing on these frames, so that nothing after decode takes it time: take other "
        "frames, or a lower score threshold"
        for name, item in warm.items()
        if not any(frame.detections for frame in item.frames)
    ]


@contextmanager
def _naming(bundle: Bundle) -> Iterator[None]:
    """Name the bundle in what the block raises; anything can come out of an engine."""
    try:
        yield
    except EdgeBlendError as error:
        if str(bundle.path) in str(error):
            raise
        raise with_text(error, f"{bundle.path}: {error}") from error
    except Exception as error:
        raise EngineError(f"{bundle.path}: {type(error).__name__}: {error}") from error


@contextmanager
def _progress_bar(turns: int, *, shown: bool) -> Iterator[_Done]:
    """Give what is to be called after every turn."""
    from tqdm import tqdm

    with tqdm(total=turns, desc="bench", unit="turn", leave=False, disable=not shown) as bar:

        def done() -> None:
            bar.update()

        yield done
