"""What ``bench`` measures: by a clock that only moves when told to, and on real graphs at all."""

from __future__ import annotations

import dataclasses
import re
import shutil
import threading
import time
from contextlib import closing
from itertools import accumulate, count, islice, repeat

import cv2
import numpy as np
import pytest

from edgeblend.calibration.bench import bench as module
from edgeblend.calibration.bench import streaming as bench_streaming
from edgeblend.calibration.bench.bench import LATENCY_ROUNDS, STREAMING_ROUNDS, bench
from edgeblend.calibration.bench.frames import MAX_FRAMES, read_bench_frames
from edgeblend.calibration.bench.graphs import PreparedFrame, prepare_frame, run_prepared, stream_prepared
from edgeblend.calibration.bench.latency import FrameTimer
from edgeblend.calibration.bench.report import STAGES, BenchReport, Times, times_of
from edgeblend.calibration.bench.streaming import StreamTimer, rate_of
from edgeblend.calibration.measuring.fresh_start import FreshStart
from edgeblend.calibration.measuring.setups import RunOptions, Setup
from edgeblend.errors import BundleError, EngineError, InputError, MissingPackageError
from edgeblend.results import Instances
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.runtime.sessions import open_sessions
from edgeblend.spec import InputSpec


class Clock:
    """Stands still until time is spent."""

    def __init__(self):
        self.now = 0.0
        self._lock = threading.Lock()

    def __call__(self):
        return self.now

    def spend(self, milliseconds):
        with self._lock:
            self.now += milliseconds / 1e3


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


class FakeSession:
    """Takes so long, by the clock, for one run after the other."""

    def __init__(self, clock, *milliseconds, log=None, name=""):
        self._clock, self._log, self._name = clock, log, name
        self._times = iter(milliseconds) if len(milliseconds) > 1 else repeat(milliseconds[0])
        self.forks, self.closed = [], False

    def run(self, inputs):
        if self._log is not None:
            self._log.append(self._name)
        self._clock.spend(next(self._times))
        return {}

    def fork(self):
        self.forks.append(FakeSession(self._clock, next(self._times)))
        return self.forks[-1]

    def close(self):
        self.closed = True


class SlowedSession:
    """A session that takes longer, by the clock."""

    def __init__(self, session, clock, milliseconds):
        self._session, self._clock, self._milliseconds = session, clock, milliseconds

    def run(self, inputs):
        self._clock.spend(self._milliseconds)
        return self._session.run(inputs)

    def close(self):
        self._session.close()


PICTURE = np.zeros((4, 6, 3), np.uint8)
FRAME = PreparedFrame(PICTURE, 1, {}, {})
EMPTY_FRAME = PreparedFrame(PICTURE, 0, {}, None)


def found(timings_ms):
    """Nothing, after these stages."""
    return dataclasses.replace(Instances.empty((4, 6), ("cat",), 4), timings_ms=timings_ms)


def segmenter(clock, *timings_ms):
    """One whose frames take the stages of one after the other, by the clock."""
    stages = iter(timings_ms) if len(timings_ms) > 1 else repeat(timings_ms[0])

    def segment(picture):
        taken = next(stages)
        clock.spend(sum(taken.values()))
        return found(taken)

    return segment


def sessions(clock, detector=8.0, basis=2.0):
    return {"detector": FakeSession(clock, detector), "basis": FakeSession(clock, basis)}


def exactly(milliseconds):
    return Times(*[pytest.approx(milliseconds)] * 3)


# Percentiles


def test_percentiles_of_eleven_values():
    values = [11.0, 1.0, 10.0, 2.0, 9.0, 3.0, 8.0, 4.0, 7.0, 5.0, 6.0]
    # Positions 5, 9 and 9.9 of the sorted values, counted from 0.
    assert times_of(values) == Times(6.0, 10.0, pytest.approx(10.9))


def test_one_slow_frame_in_ten_moves_neither_median_nor_p90_but_p99():
    even = times_of([10.0] * 11)
    assert even == Times(10.0, 10.0, 10.0)
    slow = times_of([10.0] * 10 + [110.0])
    assert (slow.median, slow.p90) == (10.0, 10.0)
    assert slow.p99 == pytest.approx(100.0)


# One frame at a time


@pytest.mark.parametrize("slow", STAGES)
def test_a_slow_stage_shows_in_itself_and_in_the_whole(clock, slow):
    stages = {stage: 7.0 if stage == slow else 1.0 for stage in STAGES}
    timer = FrameTimer(segmenter(clock, stages), sessions(clock), [FRAME])
    timer.take_turn(0.1)
    latency = timer.latency()
    assert latency.stages == {stage: exactly(7.0 if stage == slow else 1.0) for stage in STAGES}
    assert latency.frame == exactly(13.0)
    assert latency.graphs == exactly(10.0)
    assert latency.over_graphs == pytest.approx(1.3)
    assert latency.rle == exactly(0.0)


@pytest.mark.parametrize("slow", ["detector", "basis"])
def test_a_slow_session_shows_in_its_stage_and_in_the_graphs_alone(small_bundle, clock, slow):
    from small_bundle import frames

    (picture,) = frames(1)
    opened = open_sessions(small_bundle)
    opened[slow] = SlowedSession(opened[slow], clock, 30.0)
    with Segmenter.from_sessions(small_bundle, opened) as segment:
        prepared = prepare_frame(segment, opened, small_bundle.manifest, picture)
        timer = FrameTimer(segment, opened, [prepared])
        timer.take_turn(0.2)
    latency = timer.latency()
    assert prepared.detections > 0
    assert latency.stages == {stage: exactly(30.0 if stage == slow else 0.0) for stage in STAGES}
    assert latency.frame == exactly(30.0)
    assert latency.graphs == exactly(30.0)
    assert latency.over_graphs == pytest.approx(1.0)


def test_masks_come_on_top(clock, monkeypatch):
    monkeypatch.setattr(Instances, "rle", lambda self: clock.spend(3.0))
    timer = FrameTimer(segmenter(clock, {"detector": 10.0}), sessions(clock), [FRAME])
    timer.take_turn(0.1)
    assert timer.latency().rle == exactly(3.0)
    assert timer.latency().frame == exactly(10.0)


def test_the_ratio_is_the_median_of_pairs(clock):
    # The first frame of the turn is not timed. Ratios 1, 2, 4; the medians' would be 10 / 10.
    segment = segmenter(clock, *({"detector": ms} for ms in (99.0, 10.0, 10.0, 40.0)))
    detector = FakeSession(clock, 10.0, 5.0, 10.0)
    timer = FrameTimer(segment, {"detector": detector}, [EMPTY_FRAME])
    timer.take_turn(0.165)
    latency = timer.latency()
    assert (latency.frames, latency.over_graphs) == (3, pytest.approx(2.0))
    assert latency.frame.median == pytest.approx(10.0)
    assert latency.graphs.median == pytest.approx(10.0)


def test_the_basis_graph_runs_only_where_something_was_detected(clock):
    for frame, milliseconds in ((FRAME, 10.0), (EMPTY_FRAME, 8.0)):
        timer = FrameTimer(segmenter(clock, {"detector": 8.0}), sessions(clock), [frame])
        timer.take_turn(0.1)
        assert timer.latency().graphs == exactly(milliseconds)


def test_whole_frames_and_graphs_alone_are_first_by_turns(clock):
    log = []

    def segment(picture):
        log.append("whole")
        clock.spend(10.0)
        return found({"detector": 10.0})

    detector = FakeSession(clock, 10.0, log=log, name="graphs")
    timer = FrameTimer(segment, {"detector": detector}, [EMPTY_FRAME])
    timer.take_turn(0.065)  # one that is not timed, and three pairs
    assert log == ["whole", *("whole", "graphs"), *("graphs", "whole"), *("whole", "graphs")]
    log.clear()
    timer.take_turn(0.0)  # one pair at least
    assert log == ["whole", "graphs", "whole"]
    assert timer.latency().frames == 4


def test_frames_come_round(clock):
    seen = []

    def segment(picture):
        seen.append(len(picture))
        clock.spend(1.0)
        return found({})

    frames = [PreparedFrame(np.zeros((size, 2, 3), np.uint8), 0, {}, None) for size in (1, 2, 3)]
    timer = FrameTimer(segment, sessions(clock), frames)
    for _ in range(4):
        timer.take_turn(0.0)
    assert seen[1::2] == [1, 2, 3, 1]


# Frames made ready


def test_prepared_inputs_are_those_that_the_graphs_took(small_bundle):
    from small_bundle import frames

    taken = {}

    class Watched:
        def __init__(self, part, session):
            self._part, self._session = part, session

        def run(self, inputs):
            taken[self._part] = {name: np.array(array) for name, array in inputs.items()}
            return self._session.run(inputs)

    picture, other = frames(2, size=(48, 80))  # smaller than the canvas
    opened = open_sessions(small_bundle)
    watched = {part: Watched(part, session) for part, session in opened.items()}
    segment = Segmenter.from_sessions(small_bundle, watched)
    prepared = prepare_frame(segment, opened, small_bundle.manifest, picture)
    whole = dict(taken)
    assert prepared.detections == len(segment(picture))
    segment(other)  # overwrites what the detector put out
    run_prepared(watched, prepared)
    assert whole.keys() == taken.keys() == {"detector", "basis"}
    for part, inputs in whole.items():
        for name, array in inputs.items():
            np.testing.assert_array_equal(taken[part][name], array)


def test_without_detections_there_is_nothing_for_the_basis_graph(small_bundle):
    from small_bundle import frames

    opened = open_sessions(small_bundle)
    with Segmenter.from_sessions(small_bundle, opened, score_threshold=0.999) as segment:
        prepared = prepare_frame(segment, opened, small_bundle.manifest, frames(1)[0])
    assert (prepared.detections, prepared.basis) == (0, None)


# Streaming


def seconds(*steps):
    return accumulate(steps)


def test_a_rate_leaves_out_the_beginning():
    # Two while the threads get to work, at second 100 the clock starts; then four in 8 seconds.
    assert rate_of(seconds(50, 50, 2, 2, 2, 2, 99), skip=2, seconds=7) == pytest.approx(0.5)
    assert rate_of(seconds(50, 50, 2, 2, 2, 2, 99), skip=1, seconds=7) == pytest.approx(1 / 50)


def test_a_rate_is_of_as_many_as_were_left_out_at_least():
    assert rate_of(seconds(1, 1, 1, 10, 10, 10, 99), skip=3, seconds=0.1) == pytest.approx(0.1)


def test_results_that_come_in_bursts():
    assert rate_of(seconds(*[0, 4] * 50), skip=2, seconds=40) == pytest.approx(0.5, rel=0.06)


class FakeStreams:
    """A segmenter whose streams take so long for a frame."""

    def __init__(self, clock, milliseconds):
        self._clock, self._milliseconds = clock, milliseconds
        self.in_flight, self.closed = [], 0

    def stream(self, frames, *, in_flight):
        self.in_flight.append(in_flight)
        try:
            for _ in frames:
                self._clock.spend(self._milliseconds)
                yield found({})
        finally:
            self.closed += 1


def test_a_stream_of_known_loss(clock, monkeypatch):
    monkeypatch.setattr(bench_streaming, "WAITING", 0)  # one at a time, so that the clock knows who was it
    segment = FakeStreams(clock, 12.5)
    timer = StreamTimer(segment, sessions(clock), [FRAME], streams=1)
    for _ in range(3):
        timer.take_turn(1.0)
    streaming = timer.streaming()
    assert streaming.frames_per_second == pytest.approx(80.0)
    assert streaming.graphs_per_second == pytest.approx(100.0)
    assert streaming.of_graphs == pytest.approx(0.8)
    assert (streaming.streams, streaming.in_flight, segment.closed) == (1, 1, 3)


def test_streams_and_graphs_alone_are_first_by_turns_with_as_many_in_flight(clock, monkeypatch):
    log = []

    def graphs(sessions, frames, *, in_flight):
        log.append(("graphs", in_flight))
        for number in count():
            yield float(number)

    def stream(frames, *, in_flight):
        log.append(("stream", in_flight))
        for _ in frames:
            clock.spend(1000.0)
            yield found({})

    monkeypatch.setattr(bench_streaming, "stream_prepared", graphs)
    segment = FakeStreams(clock, 1.0)
    segment.stream = stream
    timer = StreamTimer(segment, {}, [FRAME], streams=3)
    for _ in range(3):
        timer.take_turn(1.0)
    names = ["stream", "graphs", "graphs", "stream", "stream", "graphs"]
    assert log == [(name, 5) for name in names]


def test_graphs_run_on_forks_in_threads_that_end(clock):
    before = threading.active_count()
    opened = sessions(clock)
    with closing(stream_prepared(opened, [FRAME, EMPTY_FRAME], in_flight=3)) as done:
        assert len(list(islice(done, 20))) == 20
        assert threading.active_count() == before + 3
    assert threading.active_count() == before
    for session in opened.values():
        assert len(session.forks) == 3
        assert all(fork.closed for fork in session.forks)
        assert not session.closed


def test_one_lane_takes_as_long_as_its_graphs(clock):
    with closing(stream_prepared(sessions(clock), [FRAME, EMPTY_FRAME], in_flight=1)) as done:
        times = list(islice(done, 4))
    assert times == pytest.approx([0.010, 0.018, 0.028, 0.036])


def test_a_session_that_fails_in_a_thread_is_heard_of(clock):
    class Failing(FakeSession):
        def fork(self):
            return self

        def run(self, inputs):
            raise RuntimeError("out of memory")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="out of memory"):
        next(stream_prepared({"detector": Failing(clock, 1.0)}, [EMPTY_FRAME], in_flight=2))
    assert threading.active_count() == before


# Frames


def input_spec(height=None, width=None):
    return InputSpec(height=height, width=width, min_size=60, max_size=200, pad_value=(1, 2, 3))


@pytest.mark.parametrize(
    ("spec", "size"),
    [(input_spec(100, 100), (67, 100)), (input_spec(200, 600), (200, 300)), (input_spec(), (60, 90))],
)
def test_the_photograph_is_scaled_to_the_canvas(spec, size):
    frames = read_bench_frames()
    (picture,) = frames.scaled_for(spec)
    assert picture.shape == (*size, 3)
    assert frames.description == "the photograph that comes with edgeblend"


def test_a_frame_size_holds_for_the_photograph_and_for_pictures(small_pictures):
    for source in (None, small_pictures):
        frames = read_bench_frames(source, frame_size=(30, 50))
        assert {picture.shape for picture in frames.scaled_for(input_spec(100, 100))} == {(30, 50, 3)}


def test_pictures_stay_as_they_are(small_pictures):
    frames = read_bench_frames(small_pictures)
    assert [picture.shape for picture in frames.scaled_for(input_spec(100, 100))] == [(64, 96, 3)] * 6
    assert frames.description == f"the 6 pictures of {small_pictures}"


def numbered(count):
    return [np.full((2, 2, 3), number, np.uint8) for number in range(count)]


def numbers(frames):
    return [int(picture[0, 0, 0]) for picture in frames.pictures]


def test_many_frames_are_thinned_evenly():
    assert numbers(read_bench_frames(numbered(31))) == list(range(0, 31, 2))
    assert numbers(read_bench_frames(numbered(5))) == [0, 1, 2, 3, 4]


def test_of_frames_that_pass_by_the_first_are_taken():
    passing = iter(numbered(100))
    assert numbers(read_bench_frames(passing)) == list(range(MAX_FRAMES))
    assert next(passing)[0, 0, 0] == MAX_FRAMES  # no more were taken


def test_frames_of_a_video(tmp_path):
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 32))
    for number in range(31):
        writer.write(np.full((32, 32, 3), 8 * number, np.uint8))
    writer.release()
    frames = read_bench_frames(path)
    np.testing.assert_allclose(numbers(frames), range(0, 248, 16), atol=3)
    assert frames.description == f"the frames of {path}"


def test_pictures_that_cannot_be_read_are_noted(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE)
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "c.heic").touch()
    frames = read_bench_frames(tmp_path)
    assert len(frames.pictures) == 1
    passed_over, left_out = frames.notes
    assert passed_over.endswith("passed over: 1 .heic")
    assert left_out.startswith("1 of 2 frames left out: b.png: ")
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"none of .*b\.png"):
        read_bench_frames(tmp_path)


@pytest.mark.parametrize(
    ("source", "size", "words"),
    [
        ([], None, "expected frames to run on, got none"),
        ("nowhere", None, "no such file or folder"),
        (None, (0, 5), r"frame_size: expected \(height, width\) of 1 to 100000000 pixels each, got \(0, 5\)"),
        (None, (10**5, 10**4), "frame_size: expected at most 100000000 pixels, got 100000x10000"),
    ],
)
def test_frames_that_are_none(source, size, words):
    with pytest.raises(InputError, match=words):
        read_bench_frames(source, frame_size=size)


# All together


@pytest.fixture
def quick(monkeypatch):
    """Without the processes that starts are measured in; returns what they were asked for."""
    asked = []

    def measure(bundle, frames, **options):
        asked.append((bundle, [frame.shape for frame in frames], options))
        return FreshStart(1.0, 1.5, 123_000_000)

    monkeypatch.setattr(module, "measure_fresh_start", measure)
    return asked


@pytest.fixture
def two(small_bundle, tmp_path):
    """The small bundle twice, by two names."""
    return [shutil.copytree(small_bundle.folder, tmp_path / name) for name in ("one", "two")]


def test_bundles_side_by_side(two, small_pictures, quick):
    report = bench(two, small_pictures, seconds=0.05, streams=2, threads=1)
    assert isinstance(report, BenchReport)
    assert [item.name for item in report.bundles] == ["one", "two"]
    assert [item.path for item in report.bundles] == two
    assert (report.num_frames, report.seconds, report.notes) == (6, 0.05, ())
    for item in report.bundles:
        assert (item.canvas, item.frame_sizes) == ((64, 96), ((64, 96),))
        assert item.detections > 0
        assert item.weights == {"detector": "fp32", "basis": "fp32"}
        assert {session.precision for session in item.sessions.values()} == {"f32"}
        assert {session.threads for session in item.sessions.values()} == {1}
        assert list(item.latency.stages) == list(STAGES)
        assert all(times.p99 >= times.p90 >= times.median > 0 for times in item.latency.stages.values())
        assert item.latency.frames >= LATENCY_ROUNDS
        assert item.latency.over_graphs > 0 and item.latency.rle.median > 0
        assert (item.streaming.streams, item.streaming.in_flight) == (2, 4)
        assert item.streaming.frames_per_second > 0 and item.streaming.graphs_per_second > 0
        assert item.start == FreshStart(1.0, 1.5, 123_000_000)
        assert item.bytes == sum(path.stat().st_size for path in item.path.iterdir()) - (
            (item.path / "manifest.json").stat().st_size
        )
    options = {"device": "CPU", "precision": "f32", "threads": 1, "score_threshold": None}
    options |= {"backend": None, "properties": {}}
    assert quick == [(path, [(64, 96, 3)] * 3, options) for path in two]


def test_setups_of_one_bundle_side_by_side(small_bundle, quick):
    setups = [
        Setup(small_bundle, threads=2, properties={"PERFORMANCE_HINT": "LATENCY"}),
        Setup(small_bundle, backend="openvino", precision="engine"),
        small_bundle,
    ]
    report = bench(setups, seconds=0.01, threads=1)
    assert [item.name for item in report.bundles] == [
        "small@threads=2,property.PERFORMANCE_HINT=LATENCY",
        "small@backend=openvino,precision=engine",
        "small",
    ]
    expected = [
        RunOptions(threads=2, properties={"PERFORMANCE_HINT": "LATENCY"}),
        RunOptions(backend="openvino", precision="engine", threads=1),
        RunOptions(threads=1),
    ]
    assert [item.options for item in report.bundles] == expected
    assert [options for _, _, options in quick] == [
        {**options.as_arguments(), "score_threshold": None} for options in expected
    ]
    assert [item.sessions["detector"].threads for item in report.bundles] == [2, 1, 1]
    assert [item.streaming.streams for item in report.bundles] == [2, 1, 1]


def test_an_engine_that_does_not_open_the_bundle(small_bundle, quick):
    with pytest.raises(EngineError, match="made for 'openvino', not for 'onnxruntime'"):
        bench([small_bundle, Setup(small_bundle, backend="onnxruntime")], seconds=0.01)


def test_bundles_take_turns(two, quick, monkeypatch):
    order = {FrameTimer: [], StreamTimer: []}
    for kind, log in order.items():

        def take_turn(self, seconds, log=log, original=kind.take_turn):
            log.append((id(self), seconds))
            original(self, 0.0)

        monkeypatch.setattr(kind, "take_turn", take_turn)
    bench(two, seconds=12.0, streams=1)
    for log, rounds in ((order[FrameTimer], LATENCY_ROUNDS), (order[StreamTimer], STREAMING_ROUNDS)):
        first, second = log[0][0], log[1][0]
        expected = [[first, second], [second, first]] * rounds
        assert [timer for timer, _ in log] == [timer for pair in expected[:rounds] for timer in pair]
        assert {seconds for _, seconds in log} == {6.0 / rounds}


def test_one_bundle_by_its_path(small_bundle, quick, capsys):
    report = bench(str(small_bundle.path), seconds=0.01, streams=1)
    assert capsys.readouterr().err == ""
    assert [item.name for item in report.bundles] == ["small"]
    assert report.bundles[0].frame_sizes == ((64, 96),)


@pytest.mark.parametrize(
    ("options", "streams"), [({}, 5), ({"threads": 2}, 2), ({"device": "GPU", "threads": 4}, 2)]
)
def test_streams_by_default(options, streams, monkeypatch):
    monkeypatch.setattr(module, "usable_cores", lambda: 5)
    assert module._default_streams(RunOptions(**options)) == streams


def test_that_nothing_is_detected_is_said(small_bundle, quick):
    report = bench([small_bundle], seconds=0.01, streams=1, score_threshold=0.999)
    (item,) = report.bundles
    assert item.detections == 0
    assert item.latency.stages["basis"] == Times(0.0, 0.0, 0.0)
    (note,) = report.notes
    assert note.startswith("small detects nothing on these frames")


def test_progress_is_shown_when_asked_for(small_bundle, quick, capsys):
    bench(small_bundle, seconds=0.01, streams=1, progress=True)
    assert "bench" in capsys.readouterr().err


# What is refused, before anything takes long


@pytest.fixture
def no_work(monkeypatch):
    def fail(*args, **options):
        raise AssertionError("work has begun")

    monkeypatch.setattr(module, "measure_fresh_start", fail)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seconds": 0}, "seconds must be above 0, got 0"),
        ({"seconds": float("nan")}, "seconds: got nan; give a finite number"),
        ({"streams": 0}, "streams must be at least 1"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"precision": "f64"}, "precision: unknown value 'f64'"),
        ({"score_threshold": 1.5}, "score_threshold must be"),
        ({"frames": []}, "got none"),
        ({"frame_size": (0, 1)}, "frame_size"),
    ],
)
def test_wrong_options(small_bundle, options, words):
    with pytest.raises(InputError, match=words):
        bench(small_bundle, **options)


@pytest.mark.usefixtures("no_work")
def test_wrong_bundles(small_bundle, tmp_path):
    with pytest.raises(InputError, match="at least one bundle to measure, got none"):
        bench([])
    with pytest.raises(BundleError, match="nowhere: no such bundle"):
        bench([small_bundle, "nowhere"])
    broken = shutil.copytree(small_bundle.folder, tmp_path / "broken")
    (broken / "basis.bin").write_bytes(b"cut short")
    with pytest.raises(BundleError, match=r"broken.*basis\.bin"):
        bench([small_bundle, broken])


@pytest.mark.usefixtures("no_work")
def test_an_engine_that_is_not_there(small_bundle, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(
        MissingPackageError, match=rf"{re.escape(str(small_bundle.path))}.*edgeblend\[openvino\]"
    ):
        bench(small_bundle)


# What fails on the way


@pytest.mark.parametrize(
    ("kind", "raised"),
    [(FrameTimer, RuntimeError("bad alloc")), (StreamTimer, EngineError("the device is lost"))],
)
def test_a_bundle_that_fails_is_named(two, quick, monkeypatch, kind, raised):
    turns = count()
    original = kind.take_turn

    def take_turn(self, seconds):
        if next(turns) == 1:
            raise raised
        original(self, seconds)

    monkeypatch.setattr(kind, "take_turn", take_turn)
    with pytest.raises(EngineError) as caught:
        bench(two, seconds=0.01, streams=1)
    assert str(caught.value).startswith(f"{two[1]}: ")
    assert str(raised) in str(caught.value)


def test_an_option_that_the_engine_refuses_is_said_with_the_bundle(small_bundle):
    with pytest.raises(EngineError) as caught:
        bench(small_bundle, device="NPU.7", seconds=0.01)
    assert str(caught.value).startswith(f"{small_bundle.path}: device NPU.7 is not there")
