"""``bench``'s report as one web page that holds everything: charts and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgeblend.calibration.bench.report import STAGES
from edgeblend.calibration.measuring.turns import ENGINE_STAGES
from edgeblend.report.bench.tables import latency_table, start_table, streaming_table
from edgeblend.report.bench.text import explanations, facts
from edgeblend.report.charts import Mark, Row, StackedBar, bars, legend, stacked
from edgeblend.report.figures import decimals
from edgeblend.report.html import document, meanings, section, table, title

if TYPE_CHECKING:
    from edgeblend.calibration.bench.report import BenchedBundle, BenchReport


def page(report: BenchReport) -> str:
    """Return the page as HTML."""
    sections = [
        title("edgeblend bench", facts(report)),
        _latency(report),
        _around(report),
        _streaming(report),
        section("Start and memory", table(start_table(report))),
        meanings(explanations(report)),
    ]
    return document("edgeblend bench", "".join(sections))


def _latency(report: BenchReport) -> str:
    rows = []
    for bundle in report.bundles:
        item = bundle.latency
        text = f"{decimals(item.frame.median, 1)} ms, {item.over_graphs:.2f}x graphs"
        rows.append(StackedBar(bundle.name, _parts(bundle, STAGES), text, item.graphs.median))
    return section(
        "One frame at a time",
        "<p>The bars show the median time of each stage, from an image in memory to its instances. The line "
        "shows how long the graphs take alone, on inputs that were prepared before.</p>\n",
        _legend(STAGES),
        stacked(rows, axis="milliseconds per frame"),
        table(latency_table(report.bundles)),
    )


def _around(report: BenchReport) -> str:
    around = [stage for stage in STAGES if stage not in ENGINE_STAGES]
    rows = []
    for bundle in report.bundles:
        parts = _parts(bundle, around)
        rows.append(StackedBar(bundle.name, parts, f"{decimals(sum(part.value for part in parts))} ms"))
    return section(
        "Around the graphs",
        "<p>The same without the stages in the engine.</p>\n",
        _legend(around),
        stacked(rows, axis="milliseconds per frame"),
    )


def _streaming(report: BenchReport) -> str:
    rows = []
    for bundle in report.bundles:
        item = bundle.streaming
        alone, stream = decimals(item.graphs_per_second, 1), decimals(item.frames_per_second, 1)
        marks = (
            Mark(0, item.graphs_per_second, alone),
            Mark(1, item.frames_per_second, f"{stream} ({100 * item.of_graphs:.0f}%)"),
        )
        rows.append(Row(bundle.name, marks))
    return section(
        "Streaming",
        legend({0: "graphs alone", 1: "stream"}),
        bars(rows, axis="frames per second"),
        table(streaming_table(report)),
    )


def _parts(bundle: BenchedBundle, stages: Iterable[str]) -> tuple[Mark, ...]:
    medians = {stage: bundle.latency.stages[stage].median for stage in stages}
    return tuple(
        Mark(STAGES.index(stage), median, title=f"{bundle.name}, {stage}: {decimals(median)} ms")
        for stage, median in medians.items()
    )


def _legend(stages: Iterable[str]) -> str:
    return legend({STAGES.index(stage): stage for stage in stages})
