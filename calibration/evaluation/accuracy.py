"""How accurate instances are against a labelled data set: COCO's average precision of boxes and masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.data.coco import CocoDataset, CocoImage, read_picture
from edgeblend.calibration.data.coco_file import listed
from edgeblend.calibration.data.coco_segmentation import coco_tools, compressed
from edgeblend.calibration.evaluation.coco_matches import Kind, evaluator_settings, match_detections
from edgeblend.calibration.evaluation.precision_curves import Curves, CurveTally
from edgeblend.errors import InputError
from edgeblend.results import Instances

Segment = Callable[[NDArray[np.uint8]], Instances]
"""From an (H, W, 3) uint8 BGR picture to its instances: a ``Segmenter``, or anything like it."""

BLOCK = 32
"""Number of images compared with the labels at a time."""
_FINITE = ("boxes", "scores", "mask_probs", "mask_boxes")
_IOU_50, _IOU_75 = 0, 5  # of the thresholds 0.50, 0.55, ..., 0.95


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """COCO's average precision with at most 100 detections a picture, 0 to 100.

    Mean over the classes that have objects; nan where there are none.
    """

    ap: float
    """Average precision, mean over the IoU thresholds 0.50, 0.55, ..., 0.95."""
    ap50: float
    ap75: float
    ap_small: float
    """As ``ap``, for objects with an area up to 32x32 pixels."""
    ap_medium: float
    """As ``ap``, for objects with an area from 32x32 to 96x96 pixels."""
    ap_large: float
    per_class: Mapping[str, float]
    """``ap`` of each class."""
    ar: float = math.nan
    """Average recall: of the objects found, mean over classes and IoU thresholds."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Average precision of boxes and of masks, and what it was measured on."""

    box: AveragePrecision
    mask: AveragePrecision
    num_images: int
    num_objects: int
    """Number of labelled objects, without crowds."""
    boundary: AveragePrecision | None = None
    """Boundary AP: overlap is the smaller one of the masks' IoU and of their boundaries' (Cheng et al.,
    Boundary IoU, CVPR 2021, section 5). A boundary is the part of a mask within 2% of the picture's
    diagonal from its outline. None where it was not asked for."""


def measure_accuracy(
    dataset: CocoDataset, predictions: Mapping[int, Instances], *, boundary: bool = False
) -> Accuracy:
    """Return the average precision of predictions, by image id.

    Args:
        dataset: the truth; read with the model's ``class_names`` where its classes are fewer.
        predictions: of every image of the data set, empty ones too. Classes are matched by name.
        boundary: whether to measure Boundary AP, too, which takes longer than the rest.

    Raises:
        InputError: an image has no prediction, a prediction no image, frames or classes differ, or numbers
            are not finite.
        MissingPackageError: faster-coco-eval is not installed.
    """
    known = {image.id for image in dataset.images}
    if missing := [i for i in known if i not in predictions]:
        raise InputError(
            f"expected predictions for every image of {dataset.source}, got none for {listed(missing)}; "
            "hand in empty instances where nothing was detected"
        )
    if unknown := [i for i in predictions if i not in known]:
        raise InputError(f"predictions name images that {dataset.source} does not have: {listed(unknown)}")
    tally = AccuracyTally(dataset, boundary=boundary)
    for image in dataset.images:
        tally.add(image, predictions[image.id])
    return tally.accuracy()


def measure_segmenter(segment: Segment, dataset: CocoDataset, *, progress: bool = False) -> Accuracy:
    """Return the average precision of a segmenter; memory does not grow with the pictures.

    Args:
        segment: called once a picture.
        dataset: the truth.
        progress: whether to show a bar on stderr.

    Raises:
        InputError: as :func:`predict_dataset` and :func:`measure_accuracy` raise it.
    """
    tally = AccuracyTally(dataset)
    for image, instances in _predict(segment, dataset, progress):
        tally.add(image, instances)
    return tally.accuracy()


def predict_dataset(
    segment: Segment, dataset: CocoDataset, *, progress: bool = False
) -> dict[int, Instances]:
    """Return the instances of every picture of a data set by image id.

    An instance is 13 kB with masks of 56x56; for thousands of pictures see :func:`measure_segmenter`.

    Raises:
        InputError: a picture cannot be read or is not as large as annotated.
    """
    return {image.id: instances for image, instances in _predict(segment, dataset, progress)}


def _predict(segment: Segment, dataset: CocoDataset, progress: bool) -> Iterator[tuple[CocoImage, Instances]]:
    from tqdm import tqdm

    for image in tqdm(dataset.images, unit="picture", disable=not progress):
        yield image, segment(read_picture(image))


class AccuracyTally:
    """Takes predictions picture by picture; memory does not grow with how many there are.

    They are compared with the truth a few pictures at a time. What is kept of each detection is on disk.
    """

    def __init__(self, dataset: CocoDataset, *, boundary: bool = False) -> None:
        """Start without predictions.

        Args:
            dataset: the truth.
            boundary: whether to measure Boundary AP, too.

        Raises:
            MissingPackageError: faster-coco-eval is not installed.
            OutputError: the temporary folder cannot be written.
        """
        coco_tools()
        self._dataset = dataset
        self._numbers = _numbers(dataset)
        self._waiting: list[tuple[CocoImage, list[dict[str, Any]]]] = []
        kinds: tuple[Kind, ...] = ("bbox", "segm", "boundary") if boundary else ("bbox", "segm")
        self._tallies: dict[Kind, CurveTally] = {}
        for kind in kinds:
            settings = evaluator_settings(kind)
            self._tallies[kind] = CurveTally(settings, _counts(dataset, settings.area_ranges))

    def add(self, image: CocoImage, instances: Instances) -> None:
        """Take the instances of one of the data set's images, once.

        Raises:
            InputError: the frame's size or the classes differ, or numbers are not finite.
            OutputError: the disk is full.
        """
        records = _records(self._dataset, self._numbers[image.id], image, instances)
        if records:
            self._waiting.append((image, records))
        if len(self._waiting) >= BLOCK:
            self._match()

    def accuracy(self) -> Accuracy:
        """Return the average precision of what came; an image that did not come counts as empty.

        Raises:
            OutputError: the disk is full.
        """
        self._match()
        names = self._dataset.class_names
        measured = {kind: _average(tally.curves(), names) for kind, tally in self._tallies.items()}
        return Accuracy(
            box=measured["bbox"],
            mask=measured["segm"],
            num_images=len(self._dataset.images),
            num_objects=count_objects(self._dataset),
            boundary=measured.get("boundary"),
        )

    def _match(self) -> None:
        """Compare what waits with the truth."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        found = [record for _, records in waiting for record in records]
        sizes = {self._numbers[image.id]: (image.height, image.width) for image, _ in waiting}
        wanted = {record["category_id"] for record in found}
        truth = [record for image, _ in waiting for record in _truth(image, self._numbers[image.id], wanted)]
        for kind, tally in self._tallies.items():
            tally.add(match_detections(kind, sizes, truth, found))


def count_objects(dataset: CocoDataset) -> int:
    """Return how many objects a data set has, without crowds."""
    return sum(not item.crowd for image in dataset.images for item in image.objects)


def _numbers(dataset: CocoDataset) -> dict[int, int]:
    """Return 1, 2, ... for the ids of images as they rise: of equal scores, the lower id's comes first."""
    return {image: number for number, image in enumerate(sorted(image.id for image in dataset.images), 1)}


def _counts(dataset: CocoDataset, area_ranges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (C, A) how many objects the evaluator counts: no crowds, and none outside the area range."""
    items = [item for image in dataset.images for item in image.objects if not item.crowd]
    classes = np.array([item.class_index for item in items], np.intp)
    areas = np.array([item.area for item in items], np.float64)
    counts = [
        np.bincount(classes[(areas >= least) & (areas <= most)], minlength=len(dataset.class_names))
        for least, most in area_ranges
    ]
    return np.stack(counts, axis=1)


def _truth(image: CocoImage, number: int, categories: Container[int]) -> Iterator[dict[str, Any]]:
    """Yield the objects of these categories as the evaluator takes them."""
    for item in image.objects:
        if 1 + item.class_index in categories:
            x0, y0, x1, y1 = item.box.tolist()
            yield {
                "image_id": number,
                "category_id": 1 + item.class_index,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": item.area,
                "iscrowd": int(item.crowd),
                "segmentation": compressed(item.segmentation, image.height, image.width),
            }


def _records(
    dataset: CocoDataset, number: int, image: CocoImage, instances: Instances
) -> list[dict[str, Any]]:
    """Return the result records of one image, which the evaluator knows by a number."""
    where = f"image {image.id} ({image.path.name})"
    if instances.frame_size != (image.height, image.width):
        raise InputError(
            f"{where}: expected instances of a frame of {(image.height, image.width)}, "
            f"got {instances.frame_size}; predict on the picture itself"
        )
    if broken := [name for name in _FINITE if not np.isfinite(getattr(instances, name)).all()]:
        raise InputError(f"{where}: expected finite {' and '.join(broken)} of its instances")
    numbers = {name: number for number, name in enumerate(dataset.class_names, 1)}
    if set(instances.class_names) != set(numbers):
        differing = sorted(set(instances.class_names) ^ set(numbers))
        raise InputError(
            f"{where}: expected instances with the classes of {dataset.source}, differing are "
            f"{listed(differing)}; read the data set with class_names of the model"
        )
    return instances.to_coco(number, category_ids=[numbers[name] for name in instances.class_names])


def _average(curves: Curves, class_names: Sequence[str]) -> AveragePrecision:
    precision = curves.precision
    each = zip(class_names, np.moveaxis(precision[..., 0], 2, 0), strict=True)
    return AveragePrecision(
        ap=_mean(precision[..., 0]),
        ap50=_mean(precision[_IOU_50, ..., 0]),
        ap75=_mean(precision[_IOU_75, ..., 0]),
        ap_small=_mean(precision[..., 1]),
        ap_medium=_mean(precision[..., 2]),
        ap_large=_mean(precision[..., 3]),
        per_class=MappingProxyType({name: _mean(of_class) for name, of_class in each}),
        ar=_mean(curves.recall[..., 0]),
    )


def _mean(precision: NDArray[np.float64]) -> float:
    """Return 100 times the mean of what was measured."""
    measured = precision[precision > -1]
    return 100 * float(measured.mean()) if len(measured) else float("nan")
