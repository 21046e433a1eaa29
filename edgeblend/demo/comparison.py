"""How accurate and how fast each candidate of the demo is, measured side by side in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeblend.demo.candidates import Candidate
from edgeblend.errors import EngineError

if TYPE_CHECKING:
    from edgeblend.calibration.data.coco import CocoDataset
    from edgeblend.calibration.evaluation.accuracy import Accuracy
    from edgeblend.calibration.measuring.turns import Speed


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate and what came out."""

    candidate: Candidate
    accuracy: Accuracy
    speed: Speed


def compare(
    candidates: Sequence[Candidate], dataset: CocoDataset, *, progress: bool = False
) -> list[Measured]:
    """Run every candidate on every picture, taking turns, and return accuracy and speed of each.

    Raises:
        EngineError: one cannot be run.
        InputError: a picture cannot be read.
        MissingPackageError: faster-coco-eval is not installed.
    """
    from edgeblend.calibration.evaluation.comparison import Contender, Failed, measure_side_by_side

    contenders = [Contender(f"{one.name} {one.precision}", one.segmenter) for one in candidates]
    results = measure_side_by_side(contenders, dataset.images, labels=dataset, progress=progress)
    measured = []
    for candidate, result in zip(candidates, results, strict=True):
        if isinstance(result, Failed):
            raise EngineError(f"{result.name} cannot be run: {result.reason}")
        assert result.accuracy is not None  # there are labels
        measured.append(Measured(candidate, result.accuracy, result.speed))
    return measured
