"""``compare``'s report as JSON can hold it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeblend import __version__
from edgeblend.calibration.evaluation.compare_report import ap_change
from edgeblend.report.compare.tables import KINDS
from edgeblend.report.engines import options_document, sessions_document
from edgeblend.terminal.printing import as_text

if TYPE_CHECKING:
    from edgeblend.calibration.evaluation.accuracy import Accuracy, AveragePrecision
    from edgeblend.calibration.evaluation.agreement_totals import AgreementTotals
    from edgeblend.calibration.evaluation.compare_report import (
        BundleFigures,
        ComparedBeside,
        ComparedCandidate,
        CompareReport,
    )
    from edgeblend.calibration.evaluation.comparison import Disagreement
    from edgeblend.calibration.evaluation.sqnr import OutputSqnr


def as_document(report: CompareReport) -> dict[str, Any]:
    """Return everything; what was not measured is None."""
    reference = report.reference
    return {
        "edgeblend": __version__,
        "ok": report.ok,
        "max_drop": report.max_drop,
        "judged_score": report.judged_score,
        "machine": asdict(report.machine),
        "pictures": {
            "source": as_text(report.images),
            "annotations": None if report.annotations is None else as_text(report.annotations),
            "count": report.num_images,
            "objects": report.num_objects,
            "sqnr": report.sqnr_frames,
            "notes": [as_text(note) for note in report.notes],
        },
        "reference": {
            "name": as_text(reference.name),
            "path": as_text(reference.path),
            "options": options_document(reference.options),
            **_figures(reference.figures),
        },
        "beside": [_beside(item, reference.figures) for item in report.beside],
        "candidates": [_candidate(item, reference.figures) for item in report.candidates],
    }


def _candidate(item: ComparedCandidate, reference: BundleFigures) -> dict[str, Any]:
    document = {
        "name": as_text(item.name),
        "path": as_text(item.path),
        "options": options_document(item.options),
        "status": item.status,
        "reason": item.reason and as_text(item.reason),
        "drop": item.drop,
    }
    if item.figures is None or item.agreement is None:
        return document
    return {
        **document,
        **_figures(item.figures),
        **_changes(item.figures, reference),
        "agreement": _agreement(item.agreement),
        "sqnr": [_sqnr(output) for output in item.sqnr],
        "disagreements": [_disagreement(found) for found in item.disagreements],
    }


def _beside(item: ComparedBeside, reference: BundleFigures) -> dict[str, Any]:
    return {
        "name": as_text(item.name),
        **_measured(item),
        **_changes(item, reference),
        "agreement": _agreement(item.agreement),
    }


def _changes(figures: BundleFigures | ComparedBeside, reference: BundleFigures) -> dict[str, Any]:
    """Return what differs from the reference."""
    changes = {kind: ap_change(reference.accuracy, figures.accuracy, kind) for kind in KINDS}
    return {
        "ap_change": {kind: _finite(change) for kind, change in changes.items()}
        if reference.accuracy
        else None,
        "speed_up": reference.speed.frame_ms / figures.speed.frame_ms,
    }


def _figures(figures: BundleFigures) -> dict[str, Any]:
    return {
        "bytes": figures.bytes,
        "weights": dict(figures.weights),
        **_measured(figures),
        "peak_memory": figures.peak_memory,
    }


def _measured(figures: BundleFigures | ComparedBeside) -> dict[str, Any]:
    return {
        "sessions": sessions_document(figures.sessions),
        "speed": {
            **asdict(figures.speed),
            "frames_per_second": figures.speed.frames_per_second,
            "graphs_per_second": figures.speed.graphs_per_second,
        },
        "accuracy": None if figures.accuracy is None else _accuracy(figures.accuracy),
    }


def _accuracy(accuracy: Accuracy) -> dict[str, Any]:
    return {kind: average_precision(getattr(accuracy, kind)) for kind in KINDS}


def average_precision(part: AveragePrecision) -> dict[str, Any]:
    """Return an AP with its breakdown; what was not measured is None."""
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar")
    return {
        **{name: _finite(getattr(part, name)) for name in names},
        "per_class": {name: _finite(value) for name, value in part.per_class.items()},
    }


def _agreement(totals: AgreementTotals) -> dict[str, Any]:
    return {
        "agreement": totals.agreement,
        "frames": totals.frames,
        "matched": totals.matched,
        "lost": totals.lost,
        "invented": totals.invented,
        "class_flips": totals.class_flips,
        "mask_iou": _finite(totals.mask_iou),
        "score_drift": _finite(totals.score_drift),
        "score_distance": _finite(totals.score_distance),
    }


def _sqnr(output: OutputSqnr) -> dict[str, Any]:
    return {
        "graph": output.graph,
        "role": output.role,
        "level": output.level,
        "db": _finite(output.db),
        "exact": output.db == math.inf,
    }


def _disagreement(item: Disagreement) -> dict[str, Any]:
    return {
        "picture": as_text(item.image.path),
        "objects": item.frame.disagreement,
        "lost": len(item.frame.lost),
        "invented": len(item.frame.invented),
        "class_flips": len(item.frame.flips),
    }


def _finite(value: float) -> float | None:
    """JSON has no nan and no infinity."""
    return value if math.isfinite(value) else None
