import math
import re
from xml.etree import ElementTree

import pytest

from edgeblend.report.chart_scale import fit_scale, round_step
from edgeblend.report.charts import (
    Mark,
    Row,
    StackedBar,
    TimeBar,
    bars,
    changes,
    dots,
    legend,
    series_class,
    stacked,
    times,
)


def drawn(chart):
    """The chart's elements by tag; it must be well-formed."""
    root = ElementTree.fromstring(chart)
    return {tag: list(root.iter(tag)) for tag in ("rect", "circle", "text", "path")}


def texts(chart):
    return [element.text for element in drawn(chart)["text"]]


def widths(chart):
    return [float(rect.get("width")) for rect in drawn(chart)["rect"]]


@pytest.mark.parametrize(
    ("least", "step"),
    [(0.11, 0.2), (0.2, 0.2), (0.21, 0.5), (3, 5), (5, 5), (6, 10), (10, 10), (13, 20), (1e-7, 1e-7)],
)
def test_steps_are_round(least, step):
    assert round_step(least) == pytest.approx(step)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 60, ["0", "10", "20", "30", "40", "50", "60"]),
        (0, 67, ["0", "20", "40", "60", "80"]),
        (-1.2, 0.3, ["−1.5", "−1.0", "−0.5", "0.0", "0.5"]),
        (-7, -3, ["−8", "−6", "−4", "−2", "0"]),
        (0, 0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_axes_have_round_ends_and_hold_zero(low, high, ticks):
    scale = fit_scale(low, high, left=100, right=500)
    assert [text for _, text in scale.ticks()] == ticks
    assert scale.x(scale.low) == 100 and scale.x(scale.high) == 500
    assert scale.low <= low and scale.high >= high


def test_bars_are_as_long_as_their_values():
    chart = bars([Row("box", (Mark(0, 60, "60.0"), Mark(1, 30, "30.0")))], axis="AP")
    whole, half = widths(chart)
    assert whole == pytest.approx(2 * half, abs=0.2)
    assert [rect.get("class") for rect in drawn(chart)["rect"]] == ["s0", "s1"]
    assert {"box", "60.0", "30.0", "AP", "0", "50"} <= set(texts(chart))


def test_what_was_not_measured_has_no_bar():
    chart = bars([Row("box", (Mark(0, math.nan, "-"), Mark(1, 5, "5")))], axis="AP")
    assert len(widths(chart)) == 1
    assert "-" in texts(chart)


def test_changes_go_to_both_sides_of_zero():
    rows = [Row("worse", (Mark(0, -2, "-2"),)), Row("... 3 between"), Row("better", (Mark(0, 1, "+1"),))]
    chart = changes(rows, axis="points")
    loss, gain = drawn(chart)["rect"]
    assert (loss.get("class"), gain.get("class")) == ("loss", "gain")
    assert float(loss.get("width")) == pytest.approx(2 * float(gain.get("width")), abs=0.2)
    assert float(loss.get("x")) + float(loss.get("width")) == pytest.approx(float(gain.get("x")), abs=0.1)
    assert "... 3 between" in texts(chart)


@pytest.mark.parametrize("values", [(-2, -1), (1, 2), (0, 0)])
def test_changes_of_one_sign(values):
    chart = changes([Row(str(v), (Mark(0, v, str(v)),)) for v in values], axis="points")
    assert len(widths(chart)) == 2
    inside = [float(text.get("x")) for text in drawn(chart)["text"]]
    assert min(inside) >= 0 and max(inside) <= 760


def test_dots_lie_where_their_values_are():
    rows = [Row("p3", (Mark(1, 10), Mark(2, 20))), Row("p4", (Mark(1, math.inf), Mark(2, -math.inf)))]
    chart = dots(rows, axis="dB", beyond="exact")
    ten, twenty, exact = (float(circle.get("cx")) for circle in drawn(chart)["circle"])
    ticks = {text.text: float(text.get("x")) for text in drawn(chart)["text"]}
    assert (ten, twenty) == (ticks["10"], ticks["20"])
    assert exact == ticks["exact"] > ticks["20"]


def test_without_infinite_dots_there_is_no_column_for_them():
    assert "exact" not in texts(dots([Row("p3", (Mark(1, 10),))], axis="dB", beyond="exact"))


def test_times_hold_their_part_and_a_whisker():
    chart = times([TimeBar(1, "int8", whole=40, part=30, p90=50, text="40.0 ms")], axis="ms")
    whole, part = widths(chart)
    assert part == pytest.approx(0.75 * whole, abs=0.1)
    (whisker,) = [path for path in drawn(chart)["path"] if path.get("class") == "whisker"]
    start, end = re.match(r"M([\d.]+) [\d.]+H([\d.]+)M", whisker.get("d")).groups()
    assert float(end) - float(start) == pytest.approx(whole / 4, abs=0.2)


def test_stacked_parts_follow_each_other():
    parts = (Mark(0, 10, title="first"), Mark(3, 0), Mark(1, 30))
    chart = stacked([StackedBar("int8", parts, "40.0 ms", line=20)], axis="ms")
    first, second = drawn(chart)["rect"]
    assert (first.get("class"), second.get("class")) == ("s0", "s1")
    assert first.find("title").text == "first"
    assert 3 * float(first.get("width")) == pytest.approx(float(second.get("width")), abs=0.4)
    end = float(first.get("x")) + float(first.get("width"))
    assert end == pytest.approx(float(second.get("x")), abs=0.2)
    ticks = {text.text: float(text.get("x")) for text in drawn(chart)["text"]}
    assert end == pytest.approx(ticks["10"], abs=0.2)
    assert float(second.get("x")) + float(second.get("width")) == pytest.approx(ticks["40"], abs=0.2)
    (line,) = [path for path in drawn(chart)["path"] if path.get("class") == "whisker"]
    assert float(re.match(r"M([\d.]+) ", line.get("d")).group(1)) == pytest.approx(ticks["20"], abs=0.1)


def test_a_line_beyond_the_bar_is_on_the_axis_and_none_is_drawn_without():
    row = StackedBar("int8", (Mark(0, 10),), "10.0 ms", line=35)
    assert "40" in texts(stacked([row], axis="ms"))
    chart = stacked([StackedBar("int8", (Mark(0, 10),), "10.0 ms")], axis="ms")
    assert "40" not in texts(chart)
    assert [path for path in drawn(chart)["path"] if path.get("class") == "whisker"] == []


def test_colours_come_round_without_that_of_the_reference():
    assert [series_class(n) for n in (0, 1, 6, 7, 8, 12, 13)] == ["s0", "s1", "s6", "s1", "s2", "s6", "s1"]


@pytest.mark.parametrize("name", ["<b>&", 'a "quoted" name', "x" * 200])
def test_any_name_is_text(name):
    row = Row(name, (Mark(1, 1, name, name),))
    for chart in (
        bars([row], axis=name),
        changes([row], axis=name),
        dots([row], axis=name, beyond=name),
        times([TimeBar(1, name, 1, 1, 1, name)], axis=name),
        stacked([StackedBar(name, (Mark(1, 1, title=name),), name)], axis=name),
    ):
        assert name in texts(chart)
    assert "<b>" not in legend({1: "<b>"})


def test_a_long_label_is_cut_and_told_whole():
    chart = bars([Row("y" * 50, (Mark(1, 1, "1"),))], axis="AP")
    (label,) = [text for text in drawn(chart)["text"] if text.text.startswith("yy")]
    assert len(label.text) == 28 and label.text.endswith("…")
    assert label.find("title").text == "y" * 50
