"""``evaluate``'s report: as text for a terminal, and as JSON can hold it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeblend import __version__
from edgeblend.report.compare.document import average_precision
from edgeblend.report.compare.tables import BREAKDOWN, KINDS, Kind
from edgeblend.report.figures import counted, decimals
from edgeblend.report.tables import Table
from edgeblend.terminal.printing import aligned, as_text

if TYPE_CHECKING:
    from edgeblend.calibration.evaluation.accuracy import AveragePrecision
    from edgeblend.calibration.evaluation.evaluate import EvaluationReport


def facts(report: EvaluationReport) -> list[str]:
    """Return what was measured, on what and where, one line each."""
    accuracy, machine = report.accuracy, report.machine
    sessions = report.sessions.values()
    engines = dict.fromkeys(
        f"{item.engine} on {item.device} in {item.precision}"
        + (f", {counted(item.threads, 'thread')}" if item.threads else "")
        for item in sessions
    )
    return [
        f"bundle: {report.bundle}",
        f"images: {counted(accuracy.num_images, 'image')} of {report.images}, "
        f"{counted(accuracy.num_objects, 'labelled object')}",
        *(f"note: {note}" for note in report.notes),
        f"machine: {machine.processor}, {counted(machine.cores, 'core')}, {machine.system}",
        f"engine: {'; '.join(engines)}",
    ]


def terminal_lines(report: EvaluationReport) -> list[str]:
    """Return the tables as lines; explanations come apart, see :func:`explanations`."""
    tables = (breakdown_table(report), class_table(report), speed_table(report))
    blocks = [aligned([table.headings, *table.rows]) for table in tables]
    return [line for number, block in enumerate(blocks) for line in ([""] if number else []) + block]


def breakdown_table(report: EvaluationReport) -> Table:
    """Return AP of boxes and masks, by overlap and by size of the objects."""
    rows = [
        (kind, *(decimals(getattr(part, field)) for field in BREAKDOWN.values()))
        for kind, part in _measured(report).items()
    ]
    return Table(("", *BREAKDOWN), tuple(rows))


def class_table(report: EvaluationReport) -> Table:
    """Return AP of each class that has objects."""
    measured = _measured(report)
    rows = []
    for name in report.accuracy.box.per_class:
        values = [part.per_class[name] for part in measured.values()]
        if not all(map(math.isnan, values)):
            rows.append((name, *map(decimals, values)))
    return Table(("class", *(f"{kind} AP" for kind in measured)), tuple(rows))


def speed_table(report: EvaluationReport) -> Table:
    """Return how long a frame takes, and its graphs alone."""
    speed = report.speed
    frame = (decimals(speed.frame_ms), decimals(speed.frame_p90_ms), decimals(speed.frames_per_second, 1))
    graphs = (decimals(speed.graphs_ms), decimals(speed.graphs_p90_ms), decimals(speed.graphs_per_second, 1))
    return Table(("", "ms", "p90", "per second"), (("frame", *frame), ("its graphs", *graphs)))


def explanations(report: EvaluationReport) -> list[str]:
    """Return what the figures mean, some sentences each."""
    boundary = (
        " Boundary AP takes as overlap the smaller one of the masks' IoU and that of their rims, 2% of the "
        "diagonal wide."
    )
    return [
        "AP: COCO's average precision, 0 to 100: the mean over IoU thresholds from 0.50 to 0.95 and over the "
        "classes that have objects. small: up to 32 x 32 pixels; medium: up to 96 x 96. AR: average recall "
        "with at most 100 detections per image." + (boundary if report.accuracy.boundary else ""),
        "ms: from a decoded image to its instances, one at a time: the median of "
        f"{counted(report.speed.frames, 'frame')}, and p90, which nine of ten stay below. `edgeblend bench` "
        "measures speed stage by stage.",
    ]


def as_document(report: EvaluationReport) -> dict[str, Any]:
    """Return everything; what was not measured is None."""
    accuracy, speed = report.accuracy, report.speed
    parts = {kind: getattr(accuracy, kind) for kind in KINDS}
    return {
        "edgeblend": __version__,
        "bundle": as_text(report.bundle),
        "machine": asdict(report.machine),
        "images": {
            "source": as_text(report.images),
            "annotations": as_text(report.annotations),
            "count": accuracy.num_images,
            "objects": accuracy.num_objects,
            "notes": [as_text(note) for note in report.notes],
        },
        "sessions": {part: asdict(session) for part, session in report.sessions.items()},
        "accuracy": {kind: part and average_precision(part) for kind, part in parts.items()},
        "speed": {
            **asdict(speed),
            "frames_per_second": speed.frames_per_second,
            "graphs_per_second": speed.graphs_per_second,
        },
    }


def _measured(report: EvaluationReport) -> dict[Kind, AveragePrecision]:
    parts = {kind: getattr(report.accuracy, kind) for kind in KINDS}
    return {kind: part for kind, part in parts.items() if part is not None}
