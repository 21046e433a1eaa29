"""``bench``'s report as one web page that holds everything: charts and tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from html import escape
from typing import TYPE_CHECKING

from edgeblend import __version__
from edgeblend.calibration.bench.report import STAGES
from edgeblend.calibration.measuring.turns import ENGINE_STAGES
from edgeblend.report.bench_tables import GroupedTable, latency_table, start_table, streaming_table
from edgeblend.report.bench_text import explanations, facts
from edgeblend.report.charts import Mark, Row, StackedBar, bars, legend, stacked
from edgeblend.report.compare_tables import Table
from edgeblend.report.figures import decimals
from edgeblend.report.page import CHART_STYLE, document

if TYPE_CHECKING:
    from edgeblend.calibration.bench.report import BenchedBundle, BenchReport

_STYLE = """\
body { max-width: 66rem; }
th, td { padding: .4rem .6rem; }
.facts { color: var(--soft); font-size: .85rem; list-style: none; padding: 0; margin: .75rem 0; }
th.group { text-align: center; color: inherit; font-weight: 600; }
.apart { padding-left: 2rem; }
"""


def page(report: BenchReport) -> str:
    """Return the page as HTML."""
    sections = [
        f"<h1>edgeblend bench</h1>\n{_list('facts', [*facts(report), f'edgeblend {__version__}'])}",
        _latency(report),
        _around(report),
        _streaming(report),
        _section("Start and memory", _table(start_table(report))),
        _section("What the figures mean", _list("notes", explanations(report))),
    ]
    return document("edgeblend bench", "".join(sections), style=CHART_STYLE + _STYLE)


def _latency(report: BenchReport) -> str:
    rows = []
    for bundle in report.bundles:
        item = bundle.latency
        text = f"{decimals(item.frame.median, 1)} ms, {item.over_graphs:.2f}x graphs"
        rows.append(StackedBar(bundle.name, _parts(bundle, STAGES), text, item.graphs.median))
    return _section(
        "One frame at a time",
        "<p>Where a frame's time goes, from a picture in memory to its instances: the median of each stage. "
        "The line shows how long the graphs take alone, on inputs that were prepared before.</p>\n",
        _legend(STAGES),
        stacked(rows, axis="milliseconds a frame"),
        _grouped_table(latency_table(report.bundles)),
    )


def _around(report: BenchReport) -> str:
    around = [stage for stage in STAGES if stage not in ENGINE_STAGES]
    rows = []
    for bundle in report.bundles:
        parts = _parts(bundle, around)
        rows.append(StackedBar(bundle.name, parts, f"{decimals(sum(part.value for part in parts))} ms"))
    return _section(
        "Around the graphs",
        "<p>The same without the stages in the engine.</p>\n",
        _legend(around),
        stacked(rows, axis="milliseconds a frame"),
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
    return _section(
        "Streaming",
        legend({0: "graphs alone", 1: "stream"}),
        bars(rows, axis="frames a second"),
        _table(streaming_table(report)),
    )


def _parts(bundle: BenchedBundle, stages: Iterable[str]) -> tuple[Mark, ...]:
    medians = {stage: bundle.latency.stages[stage].median for stage in stages}
    return tuple(
        Mark(STAGES.index(stage), median, title=f"{bundle.name}, {stage}: {decimals(median)} ms")
        for stage, median in medians.items()
    )


def _legend(stages: Iterable[str]) -> str:
    return legend({STAGES.index(stage): stage for stage in stages})


def _section(heading: str, *content: str) -> str:
    return f"<h2>{escape(heading)}</h2>\n{''.join(content)}"


def _grouped_table(table: GroupedTable) -> str:
    groups = "".join(f'<th class="group" colspan="{table.span}">{escape(name)}</th>' for name in table.groups)
    apart = {column for column in range(1, len(table.headings)) if column % table.span == 1}
    head = f"<tr><th></th>{groups}</tr>\n{_row(table.headings, 'th', apart)}"
    return _whole_table(head, "".join(_row(row, "td", apart) for row in table.rows))


def _table(table: Table) -> str:
    return _whole_table(_row(table.headings, "th"), "".join(_row(row, "td") for row in table.rows))


def _whole_table(head: str, body: str) -> str:
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>\n{body}</tbody></table></div>\n'


def _row(cells: Iterable[str], tag: str, apart: Collection[int] = ()) -> str:
    kinds = ((' class="apart"' if column in apart else "", cell) for column, cell in enumerate(cells))
    return f"<tr>{''.join(f'<{tag}{kind}>{escape(cell)}</{tag}>' for kind, cell in kinds)}</tr>\n"


def _list(kind: str, lines: Iterable[str]) -> str:
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>\n'
