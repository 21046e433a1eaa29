"""``bench``'s report as JSON can hold it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeblend import __version__
from edgeblend.report.engines import options_document, sessions_document
from edgeblend.terminal.printing import as_text

if TYPE_CHECKING:
    from edgeblend.calibration.bench.report import BenchedBundle, BenchReport


def as_document(report: BenchReport) -> dict[str, Any]:
    """Return everything; times are in milliseconds, but for those of the start."""
    return {
        "edgeblend": __version__,
        "machine": {**asdict(report.machine), "features": dict(report.features)},
        "frames": {
            "source": as_text(report.frames),
            "count": report.num_frames,
            "score_threshold": report.score_threshold,
            "notes": [as_text(note) for note in report.notes],
        },
        "seconds": report.seconds,
        "bundles": [_bundle(bundle) for bundle in report.bundles],
    }


def _bundle(bundle: BenchedBundle) -> dict[str, Any]:
    latency = asdict(bundle.latency)
    return {
        "name": as_text(bundle.name),
        "path": as_text(bundle.path),
        "bytes": bundle.bytes,
        "canvas": bundle.canvas,
        "frame_sizes": bundle.frame_sizes,
        "detections": bundle.detections,
        "weights": dict(bundle.weights),
        "options": options_document(bundle.options),
        "sessions": sessions_document(bundle.sessions),
        "latency_ms": latency,
        "streaming": asdict(bundle.streaming),
        "start": asdict(bundle.start),
    }
