"""Segmenters measured side by side: accuracy, agreement with the first one, and speed, in one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgeblend.calibration.data.coco import CocoDataset, CocoImage, read_picture
from edgeblend.calibration.evaluation.accuracy import Accuracy, AccuracyTally, Segment
from edgeblend.calibration.evaluation.agreement_totals import (
    JUDGED_SCORE,
    AgreementTotals,
    FrameAgreement,
    compare_instances,
    totals_of,
)
from edgeblend.calibration.measuring.turns import Speed, TimedSegmenter, rotated, turns
from edgeblend.errors import EdgeBlendError, OutputError
from edgeblend.results import Instances


@dataclass(frozen=True, slots=True)
class Contender:
    """One segmenter of a comparison."""

    name: str
    segment: Segment


@dataclass(frozen=True, slots=True, eq=False)
class Disagreement:
    """A picture that the first contender and another one see differently."""

    image: CocoImage
    frame: FrameAgreement
    reference: Instances
    candidate: Instances


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What one contender reached."""

    name: str
    speed: Speed
    accuracy: Accuracy | None
    """Average precision; None without labels."""
    agreement: AgreementTotals | None
    """Agreement with the first contender, which has none itself."""
    disagreements: tuple[Disagreement, ...]
    """Images where it differs most from the first contender, the worst first."""


@dataclass(frozen=True, slots=True)
class Failed:
    """One that could not be measured."""

    name: str
    reason: str
    """Reason in one line."""


def measure_side_by_side(
    contenders: Sequence[Contender],
    images: Sequence[CocoImage],
    *,
    labels: CocoDataset | None = None,
    boundary: bool = False,
    judged_score: float = JUDGED_SCORE,
    keep: int = 0,
    progress: bool = False,
) -> list[Measured | Failed]:
    """Run every contender on every picture, in turns of a few pictures that each begins by turns.

    Holds one turn's pictures and instances at a time, however many there are.

    Args:
        contenders: the first is what the others are compared with; each has a name of its own.
        images: what to run on.
        labels: the data set that these images are of, to measure accuracy; None: without.
        boundary: whether to measure Boundary AP, too.
        judged_score: see :func:`~edgeblend.calibration.evaluation.agreement_totals.compare_instances`.
        keep: how many pictures to keep where a contender disagrees most.
        progress: whether to show a bar on stderr.

    Returns:
        One result a contender, in their order. One that raises anything has failed, and the others go on.

    Raises:
        InputError: a picture cannot be read.
        MissingPackageError: faster-coco-eval, which labels need, is not installed.
        OutputError: the temporary folder's disk is full.
        Exception: whatever the first contender raises.
    """
    names = [contender.name for contender in contenders]
    if len(set(names)) != len(names):
        raise ValueError(f"expected contenders with names of their own, got {', '.join(names)}")
    runs = [_Run(contender, labels, boundary, judged_score, keep) for contender in contenders]
    failures: dict[str, str] = {}
    for number, chunk in enumerate(turns(images, progress=progress)):
        pictures = [read_picture(image) for image in chunk]
        found: dict[str, list[Instances]] = {}
        for run in rotated([run for run in runs if run.name not in failures], number):
            with noting_failure(failures, run.name, fatal=run is runs[0]):
                found[run.name] = run.timed.take_turn(pictures)
        for run in [run for run in runs if run.name in found]:
            with noting_failure(failures, run.name, fatal=run is runs[0]):
                run.judge(chunk, found[runs[0].name], found[run.name])
    return [
        Failed(run.name, failures[run.name])
        if run.name in failures
        else run.measured(is_reference=run is runs[0])
        for run in runs
    ]


@contextmanager
def noting_failure(failures: dict[str, str], name: str, *, fatal: bool = False) -> Iterator[None]:
    """Note what the block raises under a name, in one line, and go on; unless it is fatal.

    Anything can come out of an engine, and one candidate must not end the comparison of the others. A full
    disk is no candidate's fault, and is raised.
    """
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        if fatal:
            raise
        known = isinstance(error, EdgeBlendError)
        text = " ".join(str(error).split())
        failures[name] = text if known and text else f"{type(error).__name__}: {text}"


class _Run:
    """What one contender found."""

    def __init__(
        self,
        contender: Contender,
        labels: CocoDataset | None,
        boundary: bool,
        judged_score: float,
        keep: int,
    ) -> None:
        self.name = contender.name
        self.timed = TimedSegmenter(contender.segment)
        self._tally = AccuracyTally(labels, boundary=boundary) if labels is not None else None
        self._judged_score = judged_score
        self._totals = AgreementTotals()
        self._keep = keep
        self._worst: list[Disagreement] = []

    def judge(
        self, images: Sequence[CocoImage], reference: Sequence[Instances], found: Sequence[Instances]
    ) -> None:
        """Take the instances of a turn, and the first contender's."""
        for image, expected, actual in zip(images, reference, found, strict=True):
            if self._tally is not None:
                self._tally.add(image, actual)
            frame = compare_instances(expected, actual, judged_score=self._judged_score)
            self._totals += totals_of(frame)
            if frame.disagreement > 0:
                self._worst.append(Disagreement(image, frame, expected, actual))
        self._worst.sort(key=lambda item: -item.frame.disagreement)
        del self._worst[self._keep :]

    def measured(self, *, is_reference: bool) -> Measured:
        """Return the figures of all turns."""
        return Measured(
            name=self.name,
            speed=self.timed.speed(),
            accuracy=self._tally.accuracy() if self._tally is not None else None,
            agreement=None if is_reference else self._totals,
            disagreements=tuple(self._worst),
        )
