"""A search for the layers that have to stay in float for a quantized bundle to lose no more than it may."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.checks import check_number, check_path
from edgeblend.bundle import Bundle
from edgeblend.calibration.data.coco import CocoDataset, read_coco, read_picture
from edgeblend.calibration.data.frames import notes_of, open_frames
from edgeblend.calibration.evaluation.accuracy import Accuracy, AccuracyTally
from edgeblend.calibration.evaluation.agreement_totals import AgreementTotals, compare_instances, totals_of
from edgeblend.calibration.evaluation.compare_report import judged_drop
from edgeblend.calibration.evaluation.kept import KeptInstances
from edgeblend.calibration.sampling.sample import CalibrationSet, sample_frames
from edgeblend.converters.opened import OpenGraph
from edgeblend.converters.quantize.measure import bare_segmenter
from edgeblend.converters.quantize.toolkits import FloatModel, SizedItems, Toolkit
from edgeblend.errors import AccuracyError, InputError
from edgeblend.manifest import Part, SearchSpec, SearchStep, TensorQuantization
from edgeblend.recipe import Recipe
from edgeblend.results import Instances

DETECTOR_SHARE = 0.8
"""Of the drop that is allowed: the detector is searched first, and what it leaves is the basis graph's."""

Metric = Literal["average precision", "agreement"]


class Pictures(Protocol):
    """Pictures by position."""

    def __len__(self) -> int: ...

    def read(self, positions: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield (H, W, 3) uint8 BGR pictures in order of their position."""


@dataclass(frozen=True, slots=True)
class LabelledPictures:
    """The pictures of a data set."""

    dataset: CocoDataset

    def __len__(self) -> int:
        return len(self.dataset.images)

    def read(self, positions: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """See :class:`Pictures`."""
        return (read_picture(self.dataset.images[position]) for position in sorted(positions))


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


@dataclass(frozen=True, slots=True)
class Validation:
    """What the float bundle finds on the pictures that drops are measured on."""

    source: Bundle
    pictures: LabelledPictures | SampledPictures
    expected: Sequence[Instances]
    """Of each picture."""
    accuracy: Accuracy | None
    """None without labels."""

    @property
    def metric(self) -> Metric:
        """What a drop is measured in."""
        return "agreement" if self.accuracy is None else "average precision"

    def drop(
        self, graphs: Mapping[Part, OpenGraph], positions: Sequence[int] | None = None
    ) -> tuple[float, list[float]]:
        """Return how much graphs lose against the float bundle, and the agreement on each picture.

        Average precision means little on a few pictures, so the drop of a part of them is one of agreement.

        Args:
            graphs: one a part.
            positions: of pictures; None: all.
        """
        chosen = sorted(positions) if positions is not None else list(range(len(self.pictures)))
        segmenter = bare_segmenter(self.source, graphs)
        tally = _tally(self.pictures) if positions is None else None
        total, each = AgreementTotals(), array("d")
        for position, picture in zip(chosen, self.pictures.read(chosen), strict=True):
            instances = segmenter(picture)
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
    source: Bundle,
    reference: Mapping[Part, OpenGraph],
    frames: CalibrationSet,
    *,
    images: str | Path | None,
    annotations: str | Path | None,
    report: Callable[[str], None] = lambda note: None,
    opened: ExitStack | None = None,
) -> Validation:
    """Run the float bundle on the pictures to measure on.

    Args:
        source: the float bundle.
        reference: its graphs.
        frames: the calibration frames, which are taken where no pictures are named.
        images: pictures.
        annotations: COCO file of these pictures; the pictures then are those that it lists.
        report: called with each note on what is not measured on.
        opened: closes the frames that are sampled here; they are read as long as drops are measured.

    Raises:
        InputError: pictures or annotations cannot be used, or the float bundle finds nothing in them, or none
            of the labelled objects.
    """
    segmenter = bare_segmenter(source, reference)
    pictures: LabelledPictures | SampledPictures
    if annotations is not None:
        dataset = read_coco(annotations, images, class_names=source.manifest.things)
        for note in dataset.notes:
            report(f"{annotations}: {note}")
        pictures = LabelledPictures(dataset)
    else:
        pictures = SampledPictures(frames if images is None else _sampled(images, report, opened))
    expected, tally, detected = KeptInstances(), _tally(pictures), 0
    for position, picture in enumerate(pictures.read(range(len(pictures)))):
        instances = segmenter(picture)
        detected += len(instances)
        expected.append(instances)
        if tally is not None:
            tally.add(position, instances)
    if not detected:
        raise InputError(
            f"the float bundle detects nothing on any of {len(pictures)} pictures, so no drop can be "
            "measured on them; take pictures with objects that the model knows"
        )
    accuracy = None
    if tally is not None:
        accuracy = tally.accuracy()
        # nan where nothing is labelled
        if not (accuracy.box.ap > 0 and accuracy.mask.ap >= 0):
            raise InputError(
                f"the float bundle finds none of the objects that {annotations} lists for {len(pictures)} "
                "pictures, so no drop can be measured on them; are they the labels of these pictures?"
            )
    return Validation(source, pictures, expected, accuracy)


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


class Search:
    """Quantizes part after part, keeps what they lose together below a limit, and says what it tried."""

    def __init__(
        self,
        validation: Validation,
        max_drop: float,
        *,
        progress: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._validation, self._max_drop, self._progress = validation, max_drop, progress
        self._steps: list[SearchStep] = []

    def quantize(
        self,
        toolkit: Toolkit,
        part: Part,
        model: FloatModel,
        items: SizedItems,
        recipe: Recipe,
        *,
        float_layers: Collection[str],
        arriving: Mapping[str, TensorQuantization],
        others: Mapping[Part, OpenGraph],
    ) -> FloatModel:
        """Return one part in INT8, as far as that may go.

        Args:
            toolkit: what quantizes.
            part: which.
            model: its graph in float.
            items: what it is calibrated on.
            recipe: how.
            float_layers: what stays in float from the start.
            arriving: how inputs will come, by name, those of them that come as integers.
            others: both parts; those that were quantized before, in INT8.
        """
        share = DETECTOR_SHARE if part == "detector" else 1.0
        before, _ = self._validation.drop(others)
        in_float: frozenset[str] | None = None

        def validate(
            graph: OpenGraph, positions: tuple[int, ...] | None, float_now: frozenset[str]
        ) -> tuple[float, list[float]]:
            nonlocal in_float
            drop, each = self._validation.drop({**others, part: graph}, positions)
            if positions is None:
                if in_float is not None:  # the first is the float graph itself
                    returned = sorted(float_now - in_float)
                    self._steps.append(
                        SearchStep(
                            graph=part,
                            drop=round(drop, 4),
                            returned=tuple(returned) if len(self._own(part)) else (),
                            float_layers=len(float_now),
                        )
                    )
                    self._progress(f"{part}: {drop:.2f} lost with {len(float_now)} layers in float")
                    in_float = float_now
                else:
                    in_float = frozenset()
            return -drop, each

        # The score of the float graph is -before already: what is left of the limit is for this part.
        return toolkit.quantize_to_score(
            model,
            self._validation.source.graph(part),
            items,
            recipe,
            float_layers=float_layers,
            arriving=arriving,
            pictures=len(self._validation.pictures),
            validate=validate,
            max_drop=max(share * self._max_drop - before, 0.0),
        )

    def finish(self, made: Mapping[Part, OpenGraph]) -> SearchSpec:
        """Measure the bundle as it is, and return what was tried.

        Raises:
            AccuracyError: it loses more than it may.
        """
        drop, _ = self._validation.drop(made)
        if not drop <= self._max_drop:  # nan is not within it
            unit = "points of average precision" if self._validation.accuracy else "points of agreement"
            raise AccuracyError(
                f"the quantized bundle loses {drop:.2f} {unit}, {self._max_drop:g} are allowed, after "
                f"{len(self._steps)} models were tried; nothing was written. Allow more, calibrate on more "
                "frames that are like those to come, or keep more in float from the start (float_layers)"
            )
        return SearchSpec(
            metric=self._validation.metric,
            pictures=len(self._validation.pictures),
            max_drop=self._max_drop,
            drop=round(drop, 4),
            steps=tuple(self._steps),
        )

    def _own(self, part: Part) -> list[SearchStep]:
        return [step for step in self._steps if step.graph == part]


class _Tally:
    """Accuracy on the pictures of a data set, by their position."""

    def __init__(self, dataset: CocoDataset) -> None:
        self._dataset, self._tally = dataset, AccuracyTally(dataset)

    def add(self, position: int, instances: Instances) -> None:
        """Take the instances of a picture."""
        self._tally.add(self._dataset.images[position], instances)

    def accuracy(self) -> Accuracy:
        """Return what all that came reaches."""
        return self._tally.accuracy()


def _tally(pictures: LabelledPictures | SampledPictures) -> _Tally | None:
    return _Tally(pictures.dataset) if isinstance(pictures, LabelledPictures) else None
