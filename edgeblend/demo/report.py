"""What ``edgeblend demo`` measured: as a table for people, as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeblend import __version__
from edgeblend.calibration.measuring.machine import this_machine, usable_cores
from edgeblend.demo.comparison import Measured
from edgeblend.terminal.printing import human_bytes

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.calibration.evaluation.accuracy import AveragePrecision
    from edgeblend.demo.pictures import Overlay
    from edgeblend.draw.video import Video
    from edgeblend.manifest import QuantizationSpec

HEADINGS = ("", "box AP", "mask AP", "frames/s", "graphs only", "threads", "size")
"""Of :func:`rows`."""


@dataclass(frozen=True, slots=True)
class DemoReport:
    """Everything that a demo made and measured. Files are within its folder."""

    shipped: bool
    """Whether the model and the pictures are edgeblend's own."""
    measured: tuple[Measured, ...]
    """The last one drew the pictures."""
    overlays: tuple[Overlay, ...]
    video: Video
    seconds: dict[str, float]
    """How long each step took."""

    @property
    def bundle(self) -> Bundle:
        """What the pictures were drawn with."""
        bundle = self.measured[-1].candidate.bundle
        assert bundle is not None  # see CANDIDATES
        return bundle

    @property
    def num_pictures(self) -> int:
        """How many pictures were measured on."""
        return self.measured[0].accuracy.num_images

    @property
    def num_objects(self) -> int:
        """How many labelled objects these have."""
        return self.measured[0].accuracy.num_objects


def rows(measured: Iterable[Measured]) -> list[tuple[str, ...]]:
    """Return a row of text for each candidate, under ``HEADINGS``."""
    return [
        (
            f"{item.candidate.name} {item.candidate.precision}",
            _one_decimal(item.accuracy.box.ap),
            _one_decimal(item.accuracy.mask.ap),
            _one_decimal(item.speed.frames_per_second),
            _one_decimal(item.speed.graphs_per_second),
            str(item.candidate.threads or "?"),
            human_bytes(item.candidate.bytes),
        )
        for item in measured
    ]


def explanations(report: DemoReport) -> list[str]:
    """Return what the table's figures mean, a sentence or two each."""
    verification = report.bundle.manifest.verification
    worst = max(verification.tensors, key=lambda error: error.max_error)
    known = "; the drawings are those of training, the photographs behind them and the arrangement are not"
    cores = usable_cores()
    engines = " and ".join(dict.fromkeys(item.candidate.engine for item in report.measured))
    return [
        f"AP: COCO's average precision (IoU 0.50 to 0.95; 0 to 100) on {report.num_pictures} pictures with "
        f"{report.num_objects} objects{known if report.shipped else ''}.",
        "frames/s: one at a time, from a decoded picture to instances; graphs only: the part of it in the "
        f"engine. Medians of {report.measured[0].speed.frames} pictures each, {engines} taking turns on "
        f"{cores} CPU core{'s' if cores > 1 else ''}. torch runs the checkpoint in eager mode, as it was "
        "trained; what comes after the graphs is the same code for all.",
        "size: of the checkpoint's file, or of the bundle's files.",
        f"verified: the float32 bundle's outputs differ from torch's by at most {worst.max_error:.1e} "
        f"standard deviations (allowed {verification.tolerance.max_error:g}).",
        *_quantized(report.bundle.manifest.quantization),
    ]


def _quantized(made: QuantizationSpec | None) -> list[str]:
    """Return what INT8 means here."""
    if made is None:
        return []
    quantized = sum(made.quantized_layers.values())
    total = quantized + sum(len(names) for names in made.float_layers.values())
    return [
        f"int8: {quantized} of {total} layers computed in 8-bit integers, calibrated on "
        f"{made.calibration.frames} other pictures by the recipe {made.recipe.name!r}."
    ]


def as_document(report: DemoReport, folder: Path) -> dict[str, Any]:
    """Return the report as JSON can hold it, with files relative to ``folder``."""
    return {
        "edgeblend": __version__,
        "machine": asdict(this_machine()),
        "data": {"pictures": report.num_pictures, "objects": report.num_objects},
        "candidates": [_candidate(item) for item in report.measured],
        "bundle": report.bundle.path.name,
        "verification": report.bundle.manifest.verification,
        "pictures": [
            {
                "file": overlay.file.relative_to(folder).as_posix(),
                "source": overlay.source,
                "found": [{"class": name, "score": round(score, 4)} for name, score in overlay.found],
            }
            for overlay in report.overlays
        ],
        "video": {
            "file": report.video.path.relative_to(folder).as_posix(),
            "codec": report.video.codec.name,
            "frames": report.video.frames,
            "frames_per_second": report.video.rate,
        },
        "seconds": {step: round(seconds, 1) for step, seconds in report.seconds.items()},
    }


def _candidate(item: Measured) -> dict[str, Any]:
    info = item.candidate.segmenter.info.parts["detector"]
    return {
        "name": item.candidate.name,
        "precision": item.candidate.precision,
        "bundle": item.candidate.bundle.path.name if item.candidate.bundle else None,
        "bytes": item.candidate.bytes,
        "engine": asdict(info),
        "box": _average_precision(item.accuracy.box),
        "mask": _average_precision(item.accuracy.mask),
        "speed": {
            "frames": item.speed.frames,
            "frame_ms": round(item.speed.frame_ms, 2),
            "graphs_ms": round(item.speed.graphs_ms, 2),
            "frames_per_second": round(item.speed.frames_per_second, 2),
            "graphs_per_second": round(item.speed.graphs_per_second, 2),
        },
    }


def _average_precision(part: AveragePrecision) -> dict[str, Any]:
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    return {
        **{name: round(getattr(part, name), 2) for name in names},
        "per_class": {name: round(value, 2) for name, value in part.per_class.items()},
    }


def _one_decimal(value: float) -> str:
    return "-" if value != value else f"{value:.1f}"
