"""What ``edgeblend convert`` made, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeblend.report.ethos_u import ethos_u_figures, ethos_u_lines
from edgeblend.report.quantization import quantization_rows
from edgeblend.terminal.printing import aligned_pairs, human_bytes

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.converters.ethos_u.vela_report import EthosUReport


def converted_rows(bundle: Bundle) -> list[tuple[str, str]]:
    """Return what was made of a checkpoint, as labels and values."""
    measured = bundle.manifest.verification
    worst = max(measured.tensors, key=lambda error: error.max_error)
    made = bundle.manifest.quantization
    return [
        ("bundle", f"{bundle.path} ({human_bytes(_size(bundle))})"),
        (
            "verified",
            f"largest difference from torch {worst.max_error} standard deviations ({worst.tensor}), "
            f"allowed {measured.tolerance.max_error}",
        ),
        ("", f"{measured.matched} of {measured.detections} detections agree"),
        *([] if made is None else quantization_rows(made)),
        ("next", f"edgeblend run {bundle.path} PICTURE --out results"),
    ]


def converted_document(bundle: Bundle, notes: Sequence[str]) -> dict[str, Any]:
    """Return the same as JSON can hold it."""
    made = bundle.manifest.quantization
    return {
        "bundle": str(bundle.path),
        "bytes": _size(bundle),
        "verification": bundle.manifest.verification,
        **({} if made is None else {"quantization": made}),
        "notes": list(notes),
    }


def compiled_lines(bundle: Bundle, report: EthosUReport) -> list[str]:
    """Return what was compiled for an NPU, and how much of it runs there."""
    rows = aligned_pairs([("bundle", f"{bundle.path} ({human_bytes(_size(bundle))})")])
    return [*rows, "", *ethos_u_lines(report)]


def compiled_document(bundle: Bundle, report: EthosUReport) -> dict[str, Any]:
    """Return the same as JSON can hold it."""
    return {"bundle": str(bundle.path), "bytes": _size(bundle), "ethos_u": ethos_u_figures(report)}


def _size(bundle: Bundle) -> int:
    return sum(file.size for file in bundle.manifest.files)
