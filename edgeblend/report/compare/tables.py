"""What ``compare`` measured, as tables of text: for a terminal, for Markdown and for a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from edgeblend.calibration.evaluation.compare_report import ComparedBeside, ap_change
from edgeblend.report.engines import computed_in, each
from edgeblend.report.figures import MISSING, decibels, decimals, signed
from edgeblend.report.tables import Table
from edgeblend.terminal.printing import human_bytes

if TYPE_CHECKING:
    from edgeblend.calibration.evaluation.compare_report import BundleFigures, CompareReport

Kind = Literal["box", "mask", "boundary"]
KINDS: tuple[Kind, ...] = ("box", "mask", "boundary")
"""Kinds of average precision."""

_AGREEMENT = ("agreement", "mask IoU", "matched", "lost", "invented", "flips", "score drift")
_SPEED = ("ms", "p90", "frames/s", "speed-up", "graphs ms", "size", "memory", "weights", "computes in")
BREAKDOWN = {
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "small": "ap_small",
    "medium": "ap_medium",
    "large": "ap_large",
    "AR": "ar",
}
"""Headings of COCO's breakdown, and the attribute of each in ``AveragePrecision``."""


def accuracy_table(report: CompareReport) -> Table:
    """Return AP of all, and each candidate's status and drop; without labels no AP."""
    kinds = KINDS if report.annotations is not None else ()
    first = (report.reference.name, "reference", "")
    rows = [(*first, *(decimals(ap_of(report.reference.figures, kind)) for kind in kinds))]
    for beside in report.beside:
        rows.append((beside.name, "beside", "", *(_changed_ap(report, beside, kind) for kind in kinds)))
    for item in report.candidates:
        start = (item.name, item.status, decimals(item.drop))
        rows.append((*start, *(_changed_ap(report, item.figures, kind) for kind in kinds)))
    return Table(("", "status", "drop", *(f"{kind} AP" for kind in kinds)), tuple(rows))


def agreement_table(report: CompareReport) -> Table:
    """Return how far all that ran agree with the reference, without labels."""
    agreements = [(item.name, item.agreement) for item in report.beside]
    agreements += [(item.name, item.agreement) for item in report.candidates if item.agreement is not None]
    rows = []
    for name, found in agreements:
        counts = (found.matched, found.lost, found.invented, found.class_flips)
        shares = (decimals(found.agreement), decimals(found.mask_iou, 4))
        rows.append((name, *shares, *map(str, counts), signed(found.score_drift, 4)))
    return Table(("", *_AGREEMENT), tuple(rows))


def speed_table(report: CompareReport) -> Table:
    """Return time, size and memory of all that ran."""
    base = report.reference.figures.speed.frame_ms
    rows = []
    for name, figures in all_that_ran(report):
        speed = figures.speed
        times = (decimals(speed.frame_ms), decimals(speed.frame_p90_ms), decimals(speed.frames_per_second, 1))
        faster = (f"{base / speed.frame_ms:.2f}x", decimals(speed.graphs_ms))
        rows.append((name, *times, *faster, *_space(figures), computed_in(figures.sessions)))
    return Table(("", *_SPEED), tuple(rows))


def _space(figures: BundleFigures | ComparedBeside) -> tuple[str, str, str]:
    """Return size, memory and weights, which only bundles have."""
    if isinstance(figures, ComparedBeside):
        return (MISSING, MISSING, MISSING)
    memory = figures.peak_memory
    return (
        human_bytes(figures.bytes),
        MISSING if memory is None else human_bytes(memory),
        each(figures.weights.values()),
    )


def noise_table(report: CompareReport) -> Table:
    """Return each candidate's lowest SQNR by role, of the levels that have it."""
    candidates = [item for item in report.candidates if item.sqnr]
    roles = list(dict.fromkeys(output.role for item in candidates for output in item.sqnr))
    rows = []
    for item in candidates:
        dbs = [[output.db for output in item.sqnr if output.role == role] for role in roles]
        rows.append((item.name, *(decibels(min(levels)) if levels else MISSING for levels in dbs)))
    return Table(("SQNR, dB", *roles), tuple(rows))


def breakdown_table(report: CompareReport, kind: Kind) -> Table:
    """Return COCO's breakdown of everyone's AP, by overlap and by size of the objects."""
    rows = []
    for name, figures in all_that_ran(report):
        part = getattr(figures.accuracy, kind)
        rows.append((name, *(decimals(getattr(part, field)) for field in BREAKDOWN.values())))
    return Table((f"{kind} AP", *BREAKDOWN), tuple(rows))


def all_that_ran(report: CompareReport) -> Iterator[tuple[str, BundleFigures | ComparedBeside]]:
    """Yield name and figures: of the reference, of what ran beside it, of every candidate that could run."""
    yield report.reference.name, report.reference.figures
    yield from ((item.name, item) for item in report.beside)
    for candidate in report.candidates:
        if candidate.figures is not None:
            yield candidate.name, candidate.figures


def ap_of(figures: BundleFigures | ComparedBeside | None, kind: Kind) -> float | None:
    """Return an AP; None where it was not measured."""
    part = getattr(figures.accuracy, kind) if figures is not None and figures.accuracy is not None else None
    return None if part is None else float(part.ap)


def _changed_ap(report: CompareReport, figures: BundleFigures | ComparedBeside | None, kind: Kind) -> str:
    """Return such as ``64.27 (-0.32)``."""
    if figures is None:
        return MISSING
    change = ap_change(report.reference.figures.accuracy, figures.accuracy, kind)
    return f"{decimals(ap_of(figures, kind))} ({signed(change)})"
