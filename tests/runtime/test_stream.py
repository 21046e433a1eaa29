"""Streams of frames: order, bounds, errors and leaving."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeblend.errors import EngineError, InputError
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.runtime.stream import stream_frames


def frame(number):
    return np.full((2, 2, 3), number, np.uint8)


class FakeLane:
    """Gives back the frame's number; frames that are ``held`` wait until they are let go."""

    def __init__(self, work):
        self.work, self.closed, self.busy = work, False, False
        work.lanes.append(self)

    def __call__(self, picture, *, color, output_size):
        assert color == self.work.color
        assert not self.closed and not self.busy
        self.busy = True
        try:
            return self.work.do(int(picture[0, 0, 0]), output_size)
        finally:
            self.busy = False

    def close(self):
        self.closed = True


class Work:
    def __init__(self, *, failing=(), held=()):
        self.lanes, self.started, self.sizes = [], [], []
        self.color = "bgr"
        self.changed = threading.Condition()
        self.failing = dict(failing)
        self.gates = {number: threading.Event() for number in held}

    def open(self):
        return FakeLane(self)

    def do(self, number, output_size):
        with self.changed:
            self.started.append(number)
            self.sizes.append(output_size)
            self.changed.notify_all()
        if number in self.gates:
            assert self.gates[number].wait(30)
        if number in self.failing:
            raise self.failing[number]
        return number

    def wait_until(self, started):
        with self.changed:
            assert self.changed.wait_for(lambda: started(self.started), 30)


class Source:
    """Counts what is asked for."""

    def __init__(self, count):
        self.count, self.given = count, 0

    def __iter__(self):
        for number in range(self.count):
            self.given += 1
            yield frame(number)


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("in_flight", [1, 2, 5, 50])
def test_results_come_in_order(in_flight):
    work = Work()
    found = list(stream_frames(work.open, Source(20), in_flight=in_flight, output_size=(4, 5)))
    assert found == list(range(20))
    assert sorted(work.started) == found
    assert set(work.sizes) == {(4, 5)}
    assert len(work.lanes) == in_flight and all(lane.closed for lane in work.lanes)


def test_a_slow_frame_is_waited_for_while_others_go_on():
    work = Work(held=[0])
    stream = stream_frames(work.open, Source(6), in_flight=3)
    worker = threading.Thread(
        target=lambda: (work.wait_until(lambda done: len(done) == 3), work.gates[0].set())
    )
    worker.start()
    assert next(stream) == 0
    worker.join()
    assert sorted(work.started[:3]) == [0, 1, 2]
    assert list(stream) == [1, 2, 3, 4, 5]


def test_a_consumer_that_takes_its_time_holds_the_source_back():
    work, source = Work(), Source(100)
    stream = stream_frames(work.open, source, in_flight=3)
    assert source.given == 0
    for number in range(5):
        assert next(stream) == number
        assert source.given == number + 3
    stream.close()
    assert source.given <= 8


def test_an_empty_source():
    work = Work()
    assert list(stream_frames(work.open, [], in_flight=2)) == []
    assert all(lane.closed for lane in work.lanes)


# Errors


def test_an_error_comes_after_the_frames_before_it_and_names_its_own():
    work = Work(failing={3: EngineError("the device is gone")})
    stream, seen = stream_frames(work.open, Source(10), in_flight=4), []
    with pytest.raises(EngineError, match="^frame 3: the device is gone$") as caught:
        seen.extend(stream)
    assert caught.value.frame_index == 3
    assert caught.value.__cause__ is work.failing[3]
    assert all(lane.closed for lane in work.lanes)


def test_the_first_of_several_errors_by_order_not_by_time():
    work = Work(failing={1: InputError("late"), 2: InputError("early")}, held=[1])
    stream = stream_frames(work.open, Source(10), in_flight=3)
    assert next(stream) == 0
    work.wait_until(lambda done: 2 in done)
    work.gates[1].set()
    with pytest.raises(InputError, match="frame 1: late"):
        next(stream)


def test_another_exception_stays_what_it_is_and_gets_a_note():
    work = Work(failing={2: ZeroDivisionError("oh")})
    with pytest.raises(ZeroDivisionError) as caught:
        list(stream_frames(work.open, Source(5), in_flight=2))
    assert caught.value.__notes__ == ["raised by frame 2 of the stream"]


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_source_that_fails_does_so_after_what_it_gave(in_flight):
    def source():
        yield frame(0)
        yield frame(1)
        raise OSError("unplugged")

    seen, work = [], Work()
    with pytest.raises(OSError, match="unplugged") as caught:
        for number in stream_frames(work.open, source(), in_flight=in_flight):
            seen.append(number)
    assert seen == [0, 1]
    assert caught.value.__notes__ == ["raised instead of frame 2 of the stream"]
    assert all(lane.closed for lane in work.lanes)


def test_lanes_that_were_opened_are_closed_when_another_cannot_be():
    work = Work()

    def open_lane():
        if len(work.lanes) == 2:
            raise EngineError("out of memory")
        return work.open()

    with pytest.raises(EngineError, match="out of memory"):
        next(stream_frames(open_lane, Source(5), in_flight=3))
    assert [lane.closed for lane in work.lanes] == [True, True]


# Errors in their place, and frames beside their results


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_errors_are_yielded_in_their_place(in_flight):
    failing = {2: InputError("no image"), 3: EngineError("busy"), 7: InputError("no image")}
    work = Work(failing=failing)
    found = list(stream_frames(work.open, Source(8), in_flight=in_flight, errors="yield"))
    assert [one for one in found if isinstance(one, int)] == [0, 1, 4, 5, 6]
    for number, error in failing.items():
        assert type(found[number]) is type(error)
        assert str(found[number]) == f"frame {number}: {error}"
        assert found[number].frame_index == number
        assert found[number].__cause__ is error
    assert all(lane.closed for lane in work.lanes)


def test_errors_of_late_frames_wait_for_their_turn():
    work = Work(failing={1: InputError("early")}, held=[0])
    stream = stream_frames(work.open, Source(4), in_flight=4, errors="yield")
    worker = threading.Thread(
        target=lambda: (work.wait_until(lambda done: len(done) == 4), work.gates[0].set())
    )
    worker.start()
    first, second, *others = stream
    worker.join()
    assert (first, others) == (0, [2, 3]) and isinstance(second, InputError)


def test_only_errors_of_our_own_are_yielded():
    work = Work(failing={1: ZeroDivisionError("oh")})
    stream = stream_frames(work.open, Source(5), in_flight=2, errors="yield")
    assert next(stream) == 0
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_a_source_that_fails_ends_the_stream_all_the_same():
    def source():
        yield frame(0)
        raise InputError("unplugged")

    stream = stream_frames(Work().open, source(), in_flight=3, errors="yield")
    assert next(stream) == 0
    with pytest.raises(InputError, match="unplugged"):
        next(stream)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_frames_come_back_beside_their_results(in_flight):
    frames = [frame(number) for number in range(9)]
    work = Work(failing={4: InputError("no image")})
    found = list(
        stream_frames(work.open, iter(frames), in_flight=in_flight, with_frames=True, errors="yield")
    )
    assert [given is wanted for (given, _), wanted in zip(found, frames, strict=True)] == [True] * 9
    assert [result for _, result in found if isinstance(result, int)] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert isinstance(found[4][1], InputError)


@pytest.mark.parametrize("with_frames", [False, True])
def test_frames_are_not_held_longer_than_needed(with_frames):
    kept = []

    def source():
        for number in range(6):
            given = frame(number)
            kept.append(weakref.ref(given))
            yield given
            del given

    for number, _ in enumerate(stream_frames(Work().open, source(), in_flight=1, with_frames=with_frames)):
        del _
        assert sum(reference() is not None for reference in kept[:number]) == 0


def test_a_color_reaches_the_lanes():
    work = Work()
    work.color = "rgb"
    assert list(stream_frames(work.open, Source(3), in_flight=2, color="rgb")) == [0, 1, 2]


# Leaving


def test_leaving_early_waits_for_what_runs_and_drops_what_does_not():
    work = Work(held=[1])
    stream = stream_frames(work.open, Source(50), in_flight=2)
    assert next(stream) == 0
    worker = threading.Timer(0.01, work.gates[1].set)
    worker.start()
    stream.close()
    worker.join()
    assert all(lane.closed for lane in work.lanes)
    assert max(work.started) <= 2


def test_breaking_out_of_the_loop_closes_it():
    work = Work()
    for number in stream_frames(work.open, Source(50), in_flight=3):
        if number == 2:
            break
    assert all(lane.closed for lane in work.lanes)


# A segmenter's own


def test_a_segmenter_streams_what_it_finds_frame_by_frame(tiny_bundle, photograph):
    frames = [np.ascontiguousarray(photograph[: 400 - 10 * number]) for number in range(5)]
    with Segmenter.load(tiny_bundle, threads=2, streams=2) as segmenter:
        expected = [segmenter(picture) for picture in frames]
        found = list(segmenter.stream(frames))
        halved = list(segmenter.stream(frames[:1], in_flight=1, output_size=(200, 300)))
    assert len(expected[0]) > 0
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.mask_probs, other.mask_probs)
    assert halved[0].frame_size == (200, 300)


def test_a_frame_that_is_no_picture_is_named(tiny_bundle, photograph):
    with (
        Segmenter.load(tiny_bundle) as segmenter,
        pytest.raises(InputError, match=r"^frame 1: ") as caught,
    ):
        list(segmenter.stream([photograph, photograph[0, 0], photograph]))
    assert caught.value.frame_index == 1


@pytest.mark.parametrize("in_flight", [0, -1])
def test_no_room_is_refused_at_once(in_flight, tiny_bundle):
    with Segmenter.load(tiny_bundle) as segmenter, pytest.raises(InputError, match="in_flight"):
        segmenter.stream([], in_flight=in_flight)


def test_no_streams_are_refused(tiny_bundle):
    with pytest.raises(InputError, match="streams must be at least 1, got 0"):
        Segmenter.load(tiny_bundle, streams=0)


def test_a_closed_segmenter_does_not_stream(tiny_bundle, photograph):
    segmenter = Segmenter.load(tiny_bundle)
    segmenter.close()
    with pytest.raises(EngineError, match="closed"):
        next(segmenter.stream([photograph]))


def test_a_stream_goes_on_when_its_segmenter_is_closed_and_calls_go_on_beside_it(tiny_bundle, photograph):
    segmenter = Segmenter.load(tiny_bundle)
    stream = segmenter.stream([photograph] * 3, in_flight=1)
    first = next(stream)
    assert len(segmenter(photograph)) == len(first)
    segmenter.close()
    assert [len(found) for found in stream] == [len(first)] * 2


def test_paths_and_bad_frames_in_a_segmenters_stream(tiny_bundle, photograph, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "missing.png"
    cv2.imwrite(str(good), photograph)
    rgb = np.ascontiguousarray(photograph[..., ::-1])
    with Segmenter.load(tiny_bundle, streams=2) as segmenter:
        expected = segmenter(photograph)
        found = list(segmenter.stream([good, bad, str(good)], with_frames=True, errors="yield"))
        (mirrored,) = segmenter.stream([rgb], color="rgb")
        with pytest.raises(InputError, match=r"^frame 1: .*missing.png: no such file"):
            list(segmenter.stream([good, bad]))
    assert [given for given, _ in found] == [good, bad, str(good)]
    for result in (found[0][1], found[2][1], mirrored):
        np.testing.assert_array_equal(result.boxes, expected.boxes)
        np.testing.assert_array_equal(result.mask_probs, expected.mask_probs)
    assert isinstance(found[1][1], InputError) and found[1][1].frame_index == 1


@pytest.mark.parametrize("frames", ["a.mp4", Path("a.mp4"), b"a", {}, 5])
def test_one_path_is_no_stream(tiny_bundle, frames):
    with Segmenter.load(tiny_bundle) as segmenter, pytest.raises(InputError, match="one after the other"):
        segmenter.stream(frames)
