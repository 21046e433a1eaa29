"""What a network finds on the pictures that drops are measured on."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.checks import check_number, check_path
from edgeblend.calibration.data.coco import CocoDataset, read_coco, read_picture
from edgeblend.calibration.data.frames import notes_of, open_frames
from edgeblend.calibration.evaluation.accuracy import Accuracy, AccuracyTally
from edgeblend.calibration.evaluation.agreement_totals import AgreementTotals, compare_instances, totals_of
from edgeblend.calibration.evaluation.compare_report import judged_drop
from edgeblend.calibration.evaluation.kept import KeptInstances
from edgeblend.calibration.sampling.sample import CalibrationSet, sample_frames
from edgeblend.converters.opened import OpenGraph, OpenNetwork
from edgeblend.errors import InputError
from edgeblend.manifest import Part
from edgeblend.results import Instances

Metric = Literal["average precision", "agreement"]


class Pictures(Protocol):
    """Pictures by position."""

    def __len__(self) -> int: ...

    def read(self, positions: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield (H, W, 3) uint8 BGR pictures in order of their position."""

    def tally(self) -> Tally | None:
        """Return what measures average precision on all of them; None without labels."""


@dataclass(frozen=True, slots=True)
class LabelledPictures:
    """The pictures of a data set."""

    dataset: CocoDataset

    def __len__(self) -> int:
        return len(self.dataset.images)

    def read(self, positions: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """See :class:`Pictures`."""
        return (read_picture(self.dataset.images[position]) for position in sorted(positions))

    def tally(self) -> Tally | None:
        """See :class:`Pictures`."""
        return Tally(self.dataset)


@dataclass(frozen=True, slots=True)
class SampledPictures:
    """Frames without labels."""

    frames: CalibrationSet

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, positions: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """See :class:`Pictures`."""
        wanted = set(positions)
        return (frame.picture for position, frame in enumerate(self.frames) if position in wanted)

    def tally(self) -> Tally | None:
        """See :class:`Pictures`."""
        return None


@dataclass(frozen=True, slots=True)
class Validation:
    """What the float network finds on the pictures that drops are measured on."""

    network: OpenNetwork
    """The float network."""
    pictures: LabelledPictures | SampledPictures
    expected: Sequence[Instances]
    """The float network's instances on each picture."""
    accuracy: Accuracy | None
    """The float network's accuracy; None without labels."""

    @property
    def metric(self) -> Metric:
        """What a drop is measured in."""
        return "agreement" if self.accuracy is None else "average precision"

    def drop(
        self, graphs: Mapping[Part, OpenGraph], positions: Sequence[int] | None = None
    ) -> tuple[float, list[float]]:
        """Return how many points are lost with other graphs, and the agreement on each picture (0 to 100).

        Average precision means little on a few pictures, so the drop on some of them is one of agreement.

        Args:
            graphs: they take the place of the float network's.
            positions: the pictures to measure on; None: all.
        """
        chosen = sorted(positions) if positions is not None else list(range(len(self.pictures)))
        candidate = self.network.with_graphs(graphs)
        tally = self.pictures.tally() if positions is None else None
        total, each = AgreementTotals(), array("d")
        for position, picture in zip(chosen, self.pictures.read(chosen), strict=True):
            instances = candidate.segment(picture)
            totals = totals_of(compare_instances(self.expected[position], instances))
            total += totals
            each.append(totals.agreement)
            if tally is not None:
                tally.add(position, instances)
        accuracy = tally.accuracy() if tally is not None else None
        return judged_drop(self.accuracy, accuracy, total), each.tolist()


def check_search(max_drop: float | None, images: str | Path | None, annotations: str | Path | None) -> None:
    """Refuse options of a search that mean nothing.

    Raises:
        InputError: pictures without a drop, or a drop that is not above 0 and at most 100, or no path.
    """
    check_pictures(images, annotations)
    if max_drop is None:
        if images is not None or annotations is not None:
            raise InputError("pictures and annotations are for a search: say how much may be lost (max_drop)")
    else:
        check_number("max_drop", max_drop, above=0, highest=100)


def check_pictures(images: object, annotations: object) -> None:
    """Refuse pictures or annotations that are no paths, with an InputError."""
    for name, given in (("images", images), ("annotations", annotations)):
        if given is not None:
            check_path(name, given)


def open_validation(
    network: OpenNetwork,
    frames: CalibrationSet,
    *,
    images: str | Path | None,
    annotations: str | Path | None,
    report: Callable[[str], None] = lambda note: None,
    opened: ExitStack | None = None,
) -> Validation:
    """Run the float network on the pictures to measure on.

    Args:
        network: in float.
        frames: the calibration frames, which are taken where no pictures are named.
        images: the pictures, or the folder of those that ``annotations`` lists.
        annotations: COCO file of the pictures; those that it lists are taken.
        report: called with each note on what is left out.
        opened: closes the frames that are sampled here; they are read as long as drops are measured.

    Raises:
        InputError: pictures or annotations cannot be used, or the float network finds nothing in them, or
            none of the labelled objects.
    """
    pictures: LabelledPictures | SampledPictures
    if annotations is not None:
        dataset = read_coco(annotations, images, class_names=network.things)
        for note in dataset.notes:
            report(f"{annotations}: {note}")
        pictures = LabelledPictures(dataset)
    else:
        pictures = SampledPictures(frames if images is None else _sampled(images, report, opened))
    expected, tally, detected = KeptInstances(), pictures.tally(), 0
    for position, picture in enumerate(pictures.read(range(len(pictures)))):
        instances = network.segment(picture)
        detected += len(instances)
        expected.append(instances)
        if tally is not None:
            tally.add(position, instances)
    if not detected:
        raise InputError(
            f"the float bundle detects nothing on any of {len(pictures)} pictures, so no drop can be "
            "measured on them; take pictures with objects that the model knows"
        )
    accuracy = tally.accuracy() if tally is not None else None
    # nan where nothing is labelled
    if accuracy is not None and not (accuracy.box.ap > 0 and accuracy.mask.ap >= 0):
        raise InputError(
            f"the float bundle finds none of the objects that {annotations} lists for {len(pictures)} "
            "pictures, so no drop can be measured on them; are they the labels of these pictures?"
        )
    return Validation(network, pictures, expected, accuracy)


def _sampled(
    images: str | Path, report: Callable[[str], None], close_with: ExitStack | None
) -> CalibrationSet:
    """Return the pictures to measure on where nothing is labelled: at most as many as calibration takes."""
    opened = open_frames(images)
    for note in notes_of(opened):
        report(note)
    chosen = sample_frames(opened)
    if close_with is not None:
        close_with.callback(chosen.close)
    if unreadable := chosen.unreadable_count:
        first = chosen.unreadable[0].name
        report(f"{unreadable} of {chosen.seen + unreadable} frames cannot be read, such as {first}")
    if len(chosen) < chosen.seen:
        report(
            f"the drop is measured on {len(chosen)} of {chosen.description}, which are unlike each other; "
            "with annotations it is measured on all of them"
        )
    return chosen


class Tally:
    """Measures the accuracy on the pictures of a data set, by their position."""

    def __init__(self, dataset: CocoDataset) -> None:
        self._dataset, self._tally = dataset, AccuracyTally(dataset)

    def add(self, position: int, instances: Instances) -> None:
        """Take the instances of a picture."""
        self._tally.add(self._dataset.images[position], instances)

    def accuracy(self) -> Accuracy:
        """Return what all that came reaches."""
        return self._tally.accuracy()
