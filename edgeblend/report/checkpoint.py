"""What is in a checkpoint, as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeblend.terminal.printing import human_bytes


def checkpoint_rows(path: Path, report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return labels and values of what ``edgeblend inspect --json`` prints of a checkpoint."""
    unknown = "no published config; convert it with the YAML it was trained with"
    count, values = len(report["tensors"]), report["parameters"] / 1e6
    return [
        ("checkpoint", f"{path} ({human_bytes(path.stat().st_size)})"),
        ("sha256", report["sha256"]),
        ("holds", f"{count} tensors, {values:.1f} million values"),
        ("fits", ", ".join(report["configs"]) or unknown),
    ]
