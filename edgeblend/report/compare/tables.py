"""What ``compare`` measured, as tables of text: for a terminal, for Markdown and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from edgeblend.calibration.evaluation.compare_report import ap_change
from edgeblend.report.figures import MISSING, decibels, decimals, signed
from edgeblend.report.tables import Table
from edgeblend.terminal.printing import human_bytes

if TYPE_CHECKING:
    from edgeblend.calibration.evaluation.compare_report import (
        BundleFigures,
        ComparedCandidate,
        CompareReport,
    )

Kind = Literal["box", "mask", "boundary"]
KINDS: tuple[Kind, ...] = ("box", "mask", "boundary")
"""Of average precision."""

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
    """Return each bundle's AP, and each candidate's status and drop; without labels no AP."""
    kinds = KINDS if report.annotations is not None else ()
    first = (report.reference.name, "reference", "")
    rows = [(*first, *(decimals(ap_of(report.reference.figures, kind)) for kind in kinds))]
    for item in report.candidates:
        start = (item.name, item.status, decimals(item.drop))
        rows.append((*start, *(_changed_ap(report, item, kind) for kind in kinds)))
    return Table(("", "status", "drop", *(f"{kind} AP" for kind in kinds)), tuple(rows))


def agreement_table(report: CompareReport) -> Table:
    """Return how far each candidate that ran agrees with the reference, without labels."""
    rows = []
    for item in report.candidates:
        if (found := item.agreement) is not None:
            counts = (found.matched, found.lost, found.invented, found.class_flips)
            shares = (decimals(found.agreement), decimals(found.mask_iou, 4))
            rows.append((item.name, *shares, *map(str, counts), signed(found.score_drift, 4)))
    return Table(("", *_AGREEMENT), tuple(rows))


def speed_table(report: CompareReport) -> Table:
    """Return time, size and memory of every bundle that ran."""
    base = report.reference.figures.speed.frame_ms
    rows = []
    for name, figures in bundles_that_ran(report):
        speed, memory = figures.speed, figures.peak_memory
        times = (decimals(speed.frame_ms), decimals(speed.frame_p90_ms), decimals(speed.frames_per_second, 1))
        faster = (f"{base / speed.frame_ms:.2f}x", decimals(speed.graphs_ms))
        space = (human_bytes(figures.bytes), MISSING if memory is None else human_bytes(memory))
        computed = [session.precision for session in figures.sessions.values()]
        rows.append((name, *times, *faster, *space, _each(figures.weights.values()), _each(computed)))
    return Table(("", *_SPEED), tuple(rows))


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
    """Return COCO's breakdown of every bundle's AP, by overlap and by size of the objects."""
    rows = []
    for name, figures in bundles_that_ran(report):
        part = getattr(figures.accuracy, kind)
        rows.append((name, *(decimals(getattr(part, field)) for field in BREAKDOWN.values())))
    return Table((f"{kind} AP", *BREAKDOWN), tuple(rows))


def bundles_that_ran(report: CompareReport) -> Iterator[tuple[str, BundleFigures]]:
    """Yield name and figures of every bundle that could be run, the reference first."""
    yield report.reference.name, report.reference.figures
    for candidate in report.candidates:
        if candidate.figures is not None:
            yield candidate.name, candidate.figures


def ap_of(figures: BundleFigures | None, kind: Kind) -> float | None:
    """Return a bundle's AP; None where it was not measured."""
    part = getattr(figures.accuracy, kind) if figures is not None and figures.accuracy is not None else None
    return None if part is None else float(part.ap)


def _changed_ap(report: CompareReport, item: ComparedCandidate, kind: Kind) -> str:
    """Return such as ``64.27 (-0.32)``."""
    if item.figures is None:
        return MISSING
    change = ap_change(report.reference.figures.accuracy, item.figures.accuracy, kind)
    return f"{decimals(ap_of(item.figures, kind))} ({signed(change)})"


def _each(values: Iterable[str]) -> str:
    """Return what all are, or each in turn where they differ."""
    return "/".join(dict.fromkeys(values))
