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
from edgeblend.calibration.evaluation.compare_inputs import name_bundles, path_of
from edgeblend.calibration.measuring.fresh_start import FreshStart, measure_fresh_start
from edgeblend.calibration.measuring.machine import processor_features, this_machine, usable_cores
from edgeblend.calibration.measuring.turns import rotated
from edgeblend.errors import EdgeBlendError, EngineError, InputError, with_text
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.runtime.backends.base import Precision
from edgeblend.runtime.backends.registry import load_backend
from edgeblend.runtime.segmenter import Segmenter, SegmenterInfo
from edgeblend.runtime.sessions import engine_options, open_sessions

LATENCY_ROUNDS = 6
"""In which bundles take turns; a turn costs a frame that is not timed."""
STREAMING_ROUNDS = 4
"""Fewer, since a turn costs as many frames as are in flight, twice."""
_WARM_UP = 3
_START_FRAMES = 3
_STREAMS_ELSEWHERE = 2
"""On other devices than the CPU: one frame is computed while another one is copied there or back."""

_Done = Callable[[], None]


class _Timer(Protocol):
    """What takes its turn with those of other bundles."""

    def take_turn(self, seconds: float) -> None:
        """Measure for about so long."""


@dataclass(frozen=True, slots=True)
class _Options:
    """How every bundle is opened."""

    device: str
    precision: Precision
    threads: int | None
    score_threshold: float | None


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
    bundles: Sequence[str | Path | Bundle] | str | Path | Bundle,
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
        bundles: what to measure, one or several.
        frames: what to run on, see :func:`~edgeblend.calibration.data.frames.open_frames`; at most 16 are
            taken, spread evenly. None: a photograph that comes with edgeblend, scaled to each bundle's
            canvas.
        frame_size: (height, width) to scale frames to before anything is timed; None: as they are.
        score_threshold: as for :meth:`edgeblend.Segmenter.load`. The more is found, the longer a frame takes
            after its graphs.
        seconds: how long to measure each bundle, half of it one frame at a time and half of it streaming;
            longer if a frame takes more than about a tenth of it.
        streams: frames that the engine is to compute at the same time when streaming. None: one for each of
            ``threads``, without them for each core; 2 on other devices than the CPU.
        device: where the engine runs all of them.
        precision: what graphs are computed in, as for :meth:`edgeblend.Segmenter.load`.
        threads: CPU threads of each; None takes one per core.
        progress: whether to show a bar on stderr.

    Raises:
        BundleError: a bundle is not whole.
        EngineError: a bundle cannot be run; the message names the bundle.
        MissingPackageError: an engine is not installed; the message names the bundle.
        InputError: there are no bundles or frames, or an option's value is not valid.
    """
    streams = _default_streams(device, threads) if streams is None else streams
    engine_options(device=device, precision=precision, threads=threads, streams=streams)
    seconds = check_number("seconds", seconds, above=0)
    check_flag("progress", progress)
    frame_size = check_frame_size(frame_size)
    if frames is not None:
        check_frames("frames", frames)
    if score_threshold is not None:
        check_share("score_threshold", score_threshold)
    options = _Options(device, precision, threads, score_threshold)
    several = [bundles] if isinstance(bundles, str | Path | Bundle) else bundles
    loaded = _load_bundles(check_list("bundles", several, "bundles"))
    pictures = read_bench_frames(frames, frame_size=frame_size)
    turns = len(loaded) * (1 + LATENCY_ROUNDS + STREAMING_ROUNDS)
    with _progress_bar(turns, shown=progress) as done:
        starts = _measure_starts(loaded, pictures, options, done)
        with ExitStack() as stack:
            warm = {name: _warm_up(bundle, pictures, options, stack) for name, bundle in loaded.items()}
            timers = {name: item.timer for name, item in warm.items()}
            _take_turns(timers, loaded, rounds=LATENCY_ROUNDS, seconds=seconds / 2, done=done)
        with ExitStack() as stack:
            streamed = {
                name: _open_streams(loaded[name], item.frames, options, streams, stack)
                for name, item in warm.items()
            }
            _take_turns(streamed, loaded, rounds=STREAMING_ROUNDS, seconds=seconds / 2, done=done)
    return BenchReport(
        bundles=tuple(
            _benched(name, bundle, starts[name], warm[name], streamed[name])
            for name, bundle in loaded.items()
        ),
        frames=pictures.description,
        num_frames=len(pictures.pictures),
        score_threshold=score_threshold,
        seconds=seconds,
        machine=this_machine(),
        features=processor_features(),
        notes=(*pictures.notes, *_notes(warm)),
    )


def _default_streams(device: str, threads: int | None) -> int:
    if not isinstance(device, str) or device.upper() != "CPU":
        return _STREAMS_ELSEWHERE
    return usable_cores() if threads is None else threads


def _load_bundles(given: Sequence[str | Path | Bundle]) -> dict[str, Bundle]:
    """Return bundles by a name that tells them apart; each one's engine is there."""
    if not given:
        raise InputError("bundles: expected at least one bundle to measure, got none")
    names = name_bundles([path_of(item, "bundles") for item in given])
    loaded = {
        name: item if isinstance(item, Bundle) else Bundle.load(item)
        for name, item in zip(names, given, strict=True)
    }
    for bundle in loaded.values():
        with _naming(bundle):
            load_backend(bundle.manifest.target)
    return loaded


def _measure_starts(
    loaded: Mapping[str, Bundle], pictures: BenchFrames, options: _Options, done: _Done
) -> dict[str, FreshStart]:
    """Return each bundle's start. Comes first: what kills its process then does not end this one."""
    starts = {}
    for name, bundle in loaded.items():
        with _naming(bundle):
            starts[name] = measure_fresh_start(
                bundle.path,
                pictures.scaled_for(bundle.manifest.input)[:_START_FRAMES],
                device=options.device,
                precision=options.precision,
                threads=options.threads,
                score_threshold=options.score_threshold,
            )
        done()
    return starts


def _open(
    bundle: Bundle, options: _Options, stack: ExitStack, *, streams: int = 1
) -> tuple[Segmenter, Sessions]:
    sessions = open_sessions(
        bundle, device=options.device, precision=options.precision, threads=options.threads, streams=streams
    )
    segmenter = Segmenter.from_sessions(
        bundle, sessions, score_threshold=options.score_threshold, streams=streams
    )
    return stack.enter_context(segmenter), sessions


def _warm_up(bundle: Bundle, pictures: BenchFrames, options: _Options, stack: ExitStack) -> _Warm:
    with _naming(bundle):
        segmenter, sessions = _open(bundle, options, stack)
        scaled = pictures.scaled_for(bundle.manifest.input)
        for _ in range(_WARM_UP):
            segmenter(scaled[0])
        frames = tuple(prepare_frame(segmenter, sessions, bundle.manifest, picture) for picture in scaled)
        return _Warm(frames, FrameTimer(segmenter, sessions, frames), segmenter.info)


def _open_streams(
    bundle: Bundle, frames: Sequence[PreparedFrame], options: _Options, streams: int, stack: ExitStack
) -> StreamTimer:
    with _naming(bundle):
        segmenter, sessions = _open(bundle, options, stack, streams=streams)
        return StreamTimer(segmenter, sessions, frames, streams=streams)


def _take_turns(
    timers: Mapping[str, _Timer], loaded: Mapping[str, Bundle], *, rounds: int, seconds: float, done: _Done
) -> None:
    """Let everyone have a turn in each round, so long that all rounds take so many seconds."""
    for number in range(rounds):
        for name in rotated(list(timers), number):
            with _naming(loaded[name]):
                timers[name].take_turn(seconds / rounds)
            done()


def _benched(
    name: str, bundle: Bundle, start: FreshStart, warm: _Warm, streamed: StreamTimer
) -> BenchedBundle:
    manifest = bundle.manifest
    sizes = dict.fromkeys(frame.picture.shape[:2] for frame in warm.frames)
    return BenchedBundle(
        name=name,
        path=bundle.path,
        bytes=sum(file.size for file in manifest.files),
        canvas=warm.info.canvas,
        frame_sizes=tuple((height, width) for height, width in sizes),
        detections=warm.detections,
        weights={part: graph.precision for part, graph in manifest.graphs.items()},
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
