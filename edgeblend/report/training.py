"""What ``edgeblend train`` made, as text and as JSON."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeblend.calibration.evaluation.accuracy import Accuracy
    from edgeblend.training.run import TrainingResult

_KINDS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def training_rows(result: TrainingResult, out: Path) -> list[tuple[str, str]]:
    """Return the checkpoint in the folder ``out``, its accuracy, and the next command."""
    rows = [("checkpoint", f"{result.model} (epoch {result.epoch})")]
    if result.accuracy is not None:
        box, mask = result.accuracy.box, result.accuracy.mask
        rows.append(("accuracy", f"box AP {box.ap:.1f}, mask AP {mask.ap:.1f}"))
    convert = ["edgeblend", "convert", result.model, "--config", result.config]
    convert += ["--class-names", result.class_names, "--out", out / "bundle"]
    return [*rows, ("next", shlex.join(map(str, convert)))]


def training_document(result: TrainingResult) -> dict[str, Any]:
    """Return the result as JSON can hold it."""
    return {
        "model": str(result.model),
        "config": str(result.config),
        "class_names": str(result.class_names),
        "epoch": result.epoch,
        "accuracy": None if result.accuracy is None else _numbers(result.accuracy),
        "log": list(result.log),
        "notes": list(result.notes),
    }


def _numbers(accuracy: Accuracy) -> dict[str, Any]:
    return {
        kind: {name: getattr(part, name) for name in _KINDS}
        for kind, part in (("box", accuracy.box), ("mask", accuracy.mask))
    }
