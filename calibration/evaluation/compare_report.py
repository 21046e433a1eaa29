"""What ``compare`` found out, as plain frozen data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from edgeblend.arguments.choices import check_choice
from edgeblend.calibration.evaluation.accuracy import Accuracy
from edgeblend.calibration.evaluation.agreement_totals import AgreementTotals
from edgeblend.calibration.evaluation.comparison import Disagreement
from edgeblend.calibration.evaluation.sqnr import OutputSqnr
from edgeblend.calibration.measuring.machine import Machine
from edgeblend.calibration.measuring.setups import RunOptions
from edgeblend.calibration.measuring.turns import Speed
from edgeblend.errors import InputError
from edgeblend.manifest import Part
from edgeblend.runtime.backends.base import SessionInfo

Status = Literal["OK", "DROP", "FAILED"]
AccuracyKind = Literal["box", "mask", "boundary"]


@dataclass(frozen=True, slots=True)
class BundleFigures:
    """What was measured of one bundle by itself."""

    bytes: int
    """Bytes on disk of all files of the bundle but its manifest."""
    weights: Mapping[Part, str]
    """Precision in which each graph stores its weights, as the manifest says."""
    sessions: Mapping[Part, SessionInfo]
    """Engine, device and precision of each graph, as the engine says."""
    speed: Speed
    peak_memory: int | None
    """Bytes resident at most in a process that loads the bundle and segments a few pictures, interpreter and
    engine included, memory of other devices than the CPU not. None where the system does not tell."""
    accuracy: Accuracy | None
    """Average precision; None without labels."""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedCandidate:
    """A candidate beside the reference."""

    name: str
    path: Path
    options: RunOptions
    """Options that the bundle was to be opened with."""
    status: Status
    """``DROP``: less accurate than was asked for. ``FAILED``: could not be loaded or run."""
    reason: str | None
    """Reason why it failed, in one line; None if it did not fail."""
    drop: float | None
    """What is judged, at least 0. With labels the larger one of the drops of box AP and mask AP, in AP
    points; without, 100 less the agreement. None if it failed, like all that follows."""
    figures: BundleFigures | None
    agreement: AgreementTotals | None
    sqnr: tuple[OutputSqnr, ...]
    """SQNR of every output that the reference has in the same size."""
    disagreements: tuple[Disagreement, ...]
    """Images where it differs most from the reference, the worst first."""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedReference:
    """What candidates are measured against."""

    name: str
    path: Path
    options: RunOptions
    """Options that the bundle was opened with."""
    figures: BundleFigures


@dataclass(frozen=True, slots=True, eq=False)
class ComparedBeside:
    """A segmenter of the caller's own, measured in turns with the bundles and not judged."""

    name: str
    sessions: Mapping[Part, SessionInfo]
    """Engine, device and precision of each graph, as the segmenter reports them."""
    speed: Speed
    accuracy: Accuracy | None
    """Average precision; None without labels."""
    agreement: AgreementTotals
    """Agreement with the reference."""


@dataclass(frozen=True, slots=True, eq=False)
class CompareReport:
    """Candidates beside their reference, on one set of pictures, in one run."""

    reference: ComparedReference
    beside: tuple[ComparedBeside, ...]
    candidates: tuple[ComparedCandidate, ...]
    images: str
    """Source of the images, as given."""
    annotations: str | None
    num_images: int
    num_objects: int | None
    """Number of labelled objects, without crowds; None without labels."""
    max_drop: float
    judged_score: float
    """Detections below it count only where the other side has the same object at this score or above."""
    sqnr_frames: int
    """Number of images that SQNR was measured on, spread evenly."""
    machine: Machine
    notes: tuple[str, ...]
    """What was left out of the pictures or their labels, one line each."""

    @property
    def ok(self) -> bool:
        """Whether every candidate is OK."""
        return all(candidate.status == "OK" for candidate in self.candidates)


def ap_change(reference: Accuracy | None, candidate: Accuracy | None, kind: AccuracyKind) -> float:
    """Return the candidate's AP less the reference's, in points; nan where either was not measured."""
    check_choice("kind", kind, get_args(AccuracyKind))
    parts = [getattr(accuracy, kind, None) for accuracy in (reference, candidate)]
    before, after = (math.nan if part is None else float(part.ap) for part in parts)
    return after - before


def judged_drop(reference: Accuracy | None, candidate: Accuracy | None, agreement: AgreementTotals) -> float:
    """Return what a candidate lost, at least 0: see ``ComparedCandidate.drop``."""
    if reference is None or candidate is None:
        return 100 - agreement.agreement
    # max() would take the first of its arguments where another is nan.
    changes = [ap_change(reference, candidate, kind) for kind in ("box", "mask")]
    if any(math.isnan(change) for change in changes):
        raise InputError(
            "average precision: got nan, for there are no objects to find; label some, none larger than 1e10 "
            "pixels"
        )
    return max(0.0, *(-change for change in changes))
