"""``compare``'s report as one web page that holds everything: tables, charts and pictures."""

from __future__ import annotations

import base64
import math
from html import escape
from typing import TYPE_CHECKING

from edgeblend.report.charts import Mark, Row, TimeBar, bars, changes, dots, legend, times
from edgeblend.report.compare.pictures import AGREEING_IOU, DRAWN, DrawnPair, draw_pair
from edgeblend.report.compare.tables import (
    KINDS,
    accuracy_table,
    agreement_table,
    all_that_ran,
    ap_of,
    breakdown_table,
    noise_table,
    speed_table,
)
from edgeblend.report.compare.text import explanations, facts, reasons, verdict
from edgeblend.report.figures import decibels, decimals, signed
from edgeblend.report.html import document, figure, meanings, section, table, title

if TYPE_CHECKING:
    from edgeblend.calibration.evaluation.compare_report import ComparedCandidate, CompareReport

_WORST_CLASSES, _BEST_CLASSES = 15, 5
"""How many are shown of each where there are more than both."""
_STYLE = """\
.verdict { padding: .6rem 1rem; border-radius: 6px; border-left: 4px solid var(--good); background: #8881; }
.verdict.bad { border-color: var(--bad); }
.side { display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
.side figure { flex: 0 1 auto; max-width: calc(50% - .5rem); min-width: 15rem; }
.pair { border-top: 1px solid var(--line); padding-top: .75rem; margin-top: 1rem; }
.pair p { font-size: .85rem; max-width: none; margin: 0 0 .5rem; }
summary { cursor: pointer; color: var(--accent); margin: .5rem 0; }
"""


def page(report: CompareReport) -> str:
    """Return the page as HTML; pictures are read again to be drawn into."""
    labelled = report.annotations is not None
    sections = [
        _head(report),
        section("Result", table(accuracy_table(report)) + _failures(report)),
        _accuracy(report) if labelled else "",
        _agreement(report),
        _noise(report),
        _speed(report),
        *(_pictures(item) for item in report.candidates if item.disagreements),
        meanings(explanations(report)),
    ]
    return document("edgeblend compare", "".join(sections), style=_STYLE)


def _head(report: CompareReport) -> str:
    kind = "verdict" if report.ok else "verdict bad"
    lead = f'<p class="{kind}">{escape(verdict(report))}</p>\n'
    return title("edgeblend compare", facts(report), lead=lead)


def _failures(report: CompareReport) -> str:
    return "".join(f"<p>{escape(line)}</p>\n" for line in reasons(report))


def _accuracy(report: CompareReport) -> str:
    rows = []
    for kind in KINDS:
        base = ap_of(report.reference.figures, kind)
        marks = []
        for series, (name, figures) in enumerate(all_that_ran(report)):
            value = ap_of(figures, kind)
            assert value is not None and base is not None  # there are labels
            text = decimals(value) + (f" ({figure(signed(value - base))})" if series else "")
            marks.append(Mark(series, value, text, f"{name}: {kind} AP {decimals(value)}"))
        rows.append(Row(f"{kind} AP", tuple(marks)))
    tables = "".join(table(breakdown_table(report, kind)) for kind in KINDS)
    return section(
        "Accuracy",
        legend(_series(report)) + bars(rows, axis="average precision, 0 to 100"),
        f"<details><summary>by overlap and by size of objects</summary>\n{tables}</details>\n",
        *(_classes(report, item) for item in report.candidates if item.figures is not None),
    )


def _classes(report: CompareReport, item: ComparedCandidate) -> str:
    """Return the change of each class's mask AP, the worst first."""
    reference = report.reference.figures.accuracy
    assert reference is not None and item.figures is not None and item.figures.accuracy is not None
    after = item.figures.accuracy.mask.per_class
    both = [(name, ap, after[name]) for name, ap in reference.mask.per_class.items() if not math.isnan(ap)]
    both.sort(key=lambda entry: entry[2] - entry[1])
    heading = f"<h3>Mask AP by class: {escape(item.name)}</h3>\n"
    if all(new == old for _, old, new in both):
        return f"{heading}<p>No class has changed.</p>\n"
    rows = [
        Row(name, (Mark(0, new - old, figure(signed(new - old)), f"{decimals(old)} to {decimals(new)}"),))
        for name, old, new in both
    ]
    if len(rows) > _WORST_CLASSES + _BEST_CLASSES + 1:
        between = Row(f"... {len(rows) - _WORST_CLASSES - _BEST_CLASSES} classes between")
        rows = [*rows[:_WORST_CLASSES], between, *rows[-_BEST_CLASSES:]]
    chart = changes(rows, axis="change of mask AP, in points")
    return f"{heading}{chart}"


def _agreement(report: CompareReport) -> str:
    alike = agreement_table(report)
    if not alike.rows:
        return ""
    text = (
        "<p>How alike the instances are that reference and candidate find, whatever the labels say: 100 is "
        "complete agreement.</p>\n"
    )
    return section("Agreement with the reference", text, table(alike))


def _noise(report: CompareReport) -> str:
    candidates = [item for item in report.candidates if item.sqnr]
    if not candidates:
        return ""
    series = {name: number for number, name in _series(report).items()}
    marks: dict[tuple[str, str], list[Mark]] = {}
    for item in candidates:
        for output in item.sqnr:
            told = f"{item.name}, {output.name}: {decibels(output.db)} dB"
            mark = Mark(series[item.name], output.db, title=told)
            marks.setdefault((output.role, output.name), []).append(mark)
    roles = list(dict.fromkeys(role for role, _ in marks))
    order = sorted(marks, key=lambda key: roles.index(key[0]))  # levels of a role together
    rows = [Row(key[1], tuple(marks[key])) for key in order]
    return section(
        "Noise in what the graphs put out",
        "<p>Signal to noise of each output, in decibels: the further right, the cleaner. 10 dB more is a "
        "tenth of the noise's power.</p>\n",
        legend({series[item.name]: item.name for item in candidates}),
        dots(rows, axis="SQNR, dB", beyond="exact"),
        table(noise_table(report)),
    )


def _speed(report: CompareReport) -> str:
    rows = []
    for number, (name, figures) in enumerate(all_that_ran(report)):
        speed = figures.speed
        rows.append(
            TimeBar(
                series=number,
                label=name,
                whole=speed.frame_ms,
                part=speed.graphs_ms,
                p90=speed.frame_p90_ms,
                text=f"{decimals(speed.frame_ms, 1)} ms",
            )
        )
    return section(
        "Time, size and memory",
        "<p>From a decoded picture to its instances: the median, of which the part in full colour is "
        "spent in the engine, and a whisker to the 90th percentile.</p>\n",
        times(rows, axis="milliseconds per frame"),
        table(speed_table(report)),
    )


def _series(report: CompareReport) -> dict[int, str]:
    """Return the name of each bundle that ran, by the number of its colour."""
    return {number: name for number, (name, _) in enumerate(all_that_ran(report))}


def _pictures(item: ComparedCandidate) -> str:
    pairs = (_pair(item, draw_pair(found)) for found in item.disagreements)
    return section(
        f"Where {item.name} disagrees most",
        f"<p>Drawn is what differs, {DRAWN} objects at most, each in one colour on both sides. A mask IoU "
        f"of at least {AGREEING_IOU:g} counts as the same mask. These are the worst pictures, not typical "
        "ones.</p>\n",
        *pairs,
    )


def _pair(item: ComparedCandidate, pair: DrawnPair) -> str:
    sides = (("reference", pair.reference), (item.name, pair.candidate))
    images = "".join(
        f'<figure><img src="{_data_uri(jpeg)}" alt="{escape(pair.name)}, {escape(side)}" '
        f'width="{pair.size[0]}" height="{pair.size[1]}"><figcaption>{escape(side)}</figcaption></figure>\n'
        for side, jpeg in sides
    )
    return (
        f'<div class="pair"><p><b>{escape(pair.name)}</b>: {escape(pair.caption)}</p>\n'
        f'<div class="side">{images}</div></div>\n'
    )


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
