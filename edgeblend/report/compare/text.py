"""``compare``'s report as text: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgeblend.report.compare.tables import (
    KINDS,
    accuracy_table,
    agreement_table,
    all_that_ran,
    breakdown_table,
    noise_table,
    speed_table,
)
from edgeblend.report.engines import Ran, engine_facts, machine_fact
from edgeblend.report.figures import counted
from edgeblend.report.tables import Table
from edgeblend.terminal.printing import aligned, as_text, wrapped

if TYPE_CHECKING:
    from edgeblend.calibration.evaluation.compare_report import CompareReport

_WIDTH = 110
"""Letters of an explanation's line."""


def report_lines(report: CompareReport, written: Iterable[Path] = ()) -> list[str]:
    """Return all of the report for a terminal, with the files that it was also written to."""
    return [
        *map(as_text, facts(report)),
        "",
        *map(as_text, terminal_lines(report)),
        "",
        *(line for text in explanations(report) for line in wrapped(text, _WIDTH)),
        "",
        as_text(verdict(report)),
        *(f"written: {as_text(path)}" for path in written),
    ]


def terminal_lines(report: CompareReport) -> list[str]:
    """Return the report as lines; explanations come apart, see :func:`explanations`."""
    blocks = [aligned([table.headings, *table.rows]) for table in _tables(report)]
    blocks += [lines] if (lines := reasons(report)) else []
    return [line for number, block in enumerate(blocks) for line in ([""] if number else []) + block]


def markdown(report: CompareReport) -> str:
    """Return the report as Markdown, with COCO's breakdown of every AP."""
    tables = _tables(report)
    if report.annotations is not None:
        tables += [breakdown_table(report, kind) for kind in KINDS]
    blocks = [
        ["# edgeblend compare"],
        [verdict(report)],
        [f"{line}  " for line in facts(report)],
        *([f"- {line}" for line in lines] for lines in [reasons(report)] if lines),
        *(_markdown_table(table) for table in tables),
        [f"- {line}" for line in explanations(report)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def verdict(report: CompareReport) -> str:
    """Return in a sentence whether the candidates are as good as was asked for."""
    what = "AP points below the reference" if report.annotations is not None else "below full agreement"
    wrong = [f"{item.name} ({item.status})" for item in report.candidates if item.status != "OK"]
    allowed = f"at most {report.max_drop:g} {what}"
    if not wrong:
        count = len(report.candidates)
        return f"{'The candidate is' if count == 1 else f'All {count} candidates are'} OK: {allowed}."
    return f"Not OK: {', '.join(wrong)}; allowed is {allowed}."


def facts(report: CompareReport) -> list[str]:
    """Return what was measured, on what and where, one fact per line."""
    labels = "" if report.num_objects is None else f", {counted(report.num_objects, 'labelled object')}"
    return [
        f"reference: {report.reference.name} ({report.reference.path})",
        f"pictures: {counted(report.num_images, 'picture')} of {report.images}{labels}",
        *(f"note: {note}" for note in report.notes),
        machine_fact(report.machine),
        *engine_facts(_ran(report)),
    ]


def _ran(report: CompareReport) -> Iterator[Ran]:
    options = {report.reference.name: report.reference.options}
    options |= {item.name: item.options for item in report.candidates}
    for name, figures in all_that_ran(report):
        yield Ran(name, figures.sessions, options.get(name))


def reasons(report: CompareReport) -> list[str]:
    """Return why candidates failed, one per line."""
    return [f"{item.name} failed: {item.reason}" for item in report.candidates if item.status == "FAILED"]


def explanations(report: CompareReport) -> list[str]:
    """Return what the figures mean, some sentences each."""
    speed = report.reference.figures.speed
    return [
        f"drop: {_drop(report)} DROP: it is more than {report.max_drop:g}. FAILED: the bundle could not be "
        "loaded or run.",
        *([_average_precision(report)] if report.annotations is not None else []),
        *(["beside: measured in the same turns as the bundles, and not judged."] if report.beside else []),
        "agreement: 100 x (sum of mask IoU over matched objects) / (matched + lost / 2 + invented / 2). This "
        "is the form of panoptic quality, with the reference as truth. mask IoU: the mean over matched "
        "objects, in the frame's pixels. lost, invented: detections that score at least "
        f"{report.judged_score:g} and that the other bundle does not have at any score (same class, box IoU "
        "at least 0.5). flips: pairs of them that share a box under different classes. score drift: the mean "
        "change of the scores of matched objects.",
        "ms: median milliseconds of one frame at a time, from a decoded picture to its instances. p90: nine "
        "of ten frames took no longer. graphs ms: the part in the engine. Each took "
        f"{counted(speed.frames, 'timed frame')}, in turns in one run on "
        f"{counted(report.machine.cores, 'core')}. weights: precision that they are stored in. computes in: "
        "precision of the engine, where a graph does not say otherwise. Where detector and basis differ, "
        "both are named.",
        "memory: peak of a process that only loaded the bundle and segmented a few pictures, interpreter and "
        "engine included. size: sum of the bundle's files.",
        "SQNR: 10 x log10(sum of the reference's squares / sum of the differences' squares) of what each "
        f"graph puts out, over {counted(report.sqnr_frames, 'picture')}; the lowest of a role's levels. "
        "Noise of earlier layers is part of it. exact: no difference at all.",
    ]


def _drop(report: CompareReport) -> str:
    if report.annotations is None:
        return "100 less the agreement."
    return "what the candidate lost in box AP or in mask AP, whichever is more, in AP points."


def _average_precision(report: CompareReport) -> str:
    assert report.num_objects is not None  # there are labels
    return (
        "AP: COCO's average precision (IoU 0.50 to 0.95, 0 to 100) on "
        f"{counted(report.num_images, 'picture')} with {counted(report.num_objects, 'object')}. The change "
        "from the reference is in brackets. Boundary AP takes the smaller one of two overlaps: the IoU of "
        "the masks, and the IoU of their rims, which are 2% of the diagonal wide. It shows frayed outlines "
        "that mask AP forgives."
    )


def _tables(report: CompareReport) -> list[Table]:
    tables = [accuracy_table(report), agreement_table(report), speed_table(report), noise_table(report)]
    return [table for table in tables if table.rows]


def _markdown_table(table: Table) -> list[str]:
    alignment = (":---", *("---:" for _ in table.headings[1:]))
    return [_markdown_row(row) for row in (table.headings, alignment, *table.rows)]


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
