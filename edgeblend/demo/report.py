"""What ``edgeblend demo`` made and measured, as plain data and as JSON can hold it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeblend import __version__

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.calibration.evaluation.compare_report import CompareReport
    from edgeblend.demo.pictures import Overlay
    from edgeblend.draw.video import Video
    from edgeblend.manifest import QuantizationSpec

PAGE, LISTING = "index.html", "demo.json"
COMPARISON_PAGE, COMPARISON = "comparison.html", "comparison.json"


@dataclass(frozen=True, slots=True, eq=False)
class DemoReport:
    """Everything that a demo made and measured. Files are within its folder."""

    shipped: bool
    """Whether the model and the pictures are edgeblend's own."""
    comparison: CompareReport
    """The float bundle as the reference, torch beside it, the INT8 bundle as the candidate."""
    bundle: Bundle
    """The INT8 bundle, which the pictures were drawn with."""
    overlays: tuple[Overlay, ...]
    video: Video
    seconds: dict[str, float]
    """Seconds of each step, by its name."""


def explanations(report: DemoReport) -> list[str]:
    """Return what this comparison tells beside what the page of every comparison says."""
    verification = report.bundle.manifest.verification
    worst = max(verification.tensors, key=lambda error: error.max_error)
    return [
        *([_known(report)] if report.shipped else []),
        "torch: the checkpoint in eager mode, as it was trained. The engines take turns on the same "
        "pictures. The code after the graphs is the same for all.",
        f"verified: the outputs of the fp32 bundle differ from torch's by at most {worst.max_error:.1e} "
        f"standard deviations (allowed {verification.tolerance.max_error:g}).",
        *_quantized(report.bundle.manifest.quantization),
    ]


def _known(report: DemoReport) -> str:
    compared = report.comparison
    return (
        f"pictures: AP is measured on {compared.num_images} pictures with {compared.num_objects} objects; "
        "the drawings are those of training, the photographs behind them and the arrangement are not."
    )


def _quantized(made: QuantizationSpec | None) -> list[str]:
    """Return what INT8 means here."""
    if made is None:
        return []
    quantized = sum(made.quantized_layers.values())
    total = quantized + sum(len(names) for names in made.float_layers.values())
    return [
        f"int8: {quantized} of {total} layers are computed in 8-bit integers. They were calibrated on "
        f"{made.calibration.frames} other pictures by the recipe {made.recipe.name!r}."
    ]


def as_document(report: DemoReport, folder: Path) -> dict[str, Any]:
    """Return the report without its comparison, with files relative to ``folder``."""
    return {
        "edgeblend": __version__,
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
