import numpy as np
import pytest

from edgeblend.calibration.measuring.turns import Speed, TimedSegmenter, counted, rotated, turns
from edgeblend.results import Instances


def segmenter(timings_ms):
    """One that finds nothing, and says how long each stage of it took."""

    def segment(picture):
        empty = Instances.empty(picture.shape[:2], ("cat",), 4)
        return Instances(
            **{name: getattr(empty, name) for name in Instances.__slots__ if name != "timings_ms"},
            timings_ms=timings_ms(int(picture[0, 0, 0])),
        )

    return segment


def pictures(*numbers):
    return [np.full((4, 4, 3), number, np.uint8) for number in numbers]


def test_engine_stages_make_the_graphs_time():
    stages = {"preprocess": 100.0, "detector": 3.0, "decode": 100.0, "basis": 2.0, "blend": 100.0}
    timed = TimedSegmenter(segmenter(lambda number: stages))
    timed.take_turn(pictures(1, 2, 3))
    speed = timed.speed()
    assert speed.graphs_ms == speed.graphs_p90_ms == 5.0
    assert speed.graphs_per_second == 200.0
    assert 0 < speed.frame_ms < 100  # by the clock, not what the stages say


def test_the_first_of_a_turn_is_not_timed():
    timed = TimedSegmenter(segmenter(lambda number: {"detector": float(number)}))
    assert len(timed.take_turn(pictures(99, 1, 2))) == 3
    timed.take_turn(pictures(99, 3))
    assert timed.speed().frames == 3
    assert timed.speed().graphs_ms == 2.0


def test_the_only_one_of_a_turn_is_timed():
    timed = TimedSegmenter(segmenter(lambda number: {"detector": 4.0}))
    timed.take_turn(pictures(1))
    assert (timed.speed().frames, timed.speed().graphs_ms) == (1, 4.0)


def test_nine_of_ten_took_no_longer():
    timed = TimedSegmenter(segmenter(lambda number: {"detector": float(number)}))
    timed.take_turn(pictures(0, *range(0, 101)))
    assert (timed.speed().graphs_ms, timed.speed().graphs_p90_ms) == (50.0, 90.0)


def test_rates():
    speed = Speed(frame_ms=20.0, graphs_ms=10.0, frame_p90_ms=30.0, graphs_p90_ms=15.0, frames=3)
    assert (speed.frames_per_second, speed.graphs_per_second) == (50.0, 100.0)


@pytest.mark.parametrize(("turn", "order"), [(0, "abc"), (1, "bca"), (2, "cab"), (3, "abc")])
def test_another_one_is_first_each_turn(turn, order):
    assert "".join(rotated("abc", turn)) == order


def test_turns_are_of_eight(capsys):
    assert [list(turn) for turn in turns(list(range(20)))] == [
        [*range(8)],
        [*range(8, 16)],
        [*range(16, 20)],
    ]
    assert list(counted("abc", "memory", unit="letter")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_progress_is_shown_when_asked_for(capsys):
    list(turns([1, 2], progress=True))
    list(counted([1, 2], "memory", unit="bundle", progress=True))
    assert "compare" in (shown := capsys.readouterr().err)
    assert "memory" in shown
