"""How accurate instances are against a labelled data set: COCO's average precision of boxes and masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.data.coco import CocoDataset, CocoImage, read_picture
from edgeblend.calibration.data.coco_file import listed
from edgeblend.calibration.data.coco_segmentation import coco_tools, compressed
from edgeblend.calibration.evaluation.kept import KeptBytes
from edgeblend.errors import InputError
from edgeblend.results import Instances

Segment = Callable[[NDArray[np.uint8]], Instances]
"""From an (H, W, 3) uint8 BGR picture to its instances: a ``Segmenter``, or anything like it."""

_Kind = Literal["bbox", "segm", "boundary"]
_FINITE = ("boxes", "scores", "mask_probs", "mask_boxes")
_IOU_50, _IOU_75 = 0, 5  # of the thresholds 0.50, 0.55, ..., 0.95


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """COCO's average precision with at most 100 detections a picture, 0 to 100.

    Mean over the classes that have objects; nan where there are none.
    """

    ap: float
    """Mean over the IoU thresholds 0.50, 0.55, ..., 0.95."""
    ap50: float
    ap75: float
    ap_small: float
    """As ``ap``, of objects with an area up to 32x32 pixels."""
    ap_medium: float
    """Up to 96x96."""
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
    """Without crowds."""
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
        InputError: an image has no prediction, a prediction no image, frames or classes differ, numbers
            are not finite, or faster-coco-eval is not installed.
    """
    known = {image.id for image in dataset.images}
    if missing := [i for i in known if i not in predictions]:
        raise InputError(
            f"expected predictions for every image of {dataset.source}, got none for {listed(missing)}; "
            "hand in empty instances where nothing was detected"
        )
    if unknown := [i for i in predictions if i not in known]:
        raise InputError(f"predictions name images that {dataset.source} does not have: {listed(unknown)}")
    tally = AccuracyTally(dataset)
    for image in dataset.images:
        tally.add(image, predictions[image.id])
    return tally.accuracy(boundary=boundary)


def measure_segmenter(segment: Segment, dataset: CocoDataset, *, progress: bool = False) -> Accuracy:
    """Return the average precision of a segmenter; holds one picture and its instances at a time.

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
    """Takes predictions picture by picture, and keeps some hundred bytes of each instance, on disk."""

    def __init__(self, dataset: CocoDataset) -> None:
        """Start without predictions.

        Raises:
            InputError: faster-coco-eval is not installed.
            OutputError: the temporary folder cannot be written.
        """
        self._tools = coco_tools()
        self._dataset = dataset
        self._numbers = _numbers(dataset)
        self._found = KeptBytes()

    def add(self, image: CocoImage, instances: Instances) -> None:
        """Take the instances of one of the data set's images, once.

        Raises:
            InputError: the frame's size or the classes differ, or numbers are not finite.
            OutputError: the disk is full.
        """
        records = _records(self._dataset, self._numbers[image.id], image, instances)
        self._found.append(msgspec.json.encode(records))

    def accuracy(self, *, boundary: bool = False) -> Accuracy:
        """Return the average precision of what came; an image that did not come counts as empty.

        Now all of it is in memory, as the evaluator takes it.
        """
        truth = _truth(self._dataset)
        found = [record for piece in self._found for record in msgspec.json.decode(piece)]

        def measured(kind: _Kind) -> AveragePrecision:
            return _average_precision(self._tools, self._dataset, truth, found, kind)

        return Accuracy(
            box=measured("bbox"),
            mask=measured("segm"),
            num_images=len(self._dataset.images),
            num_objects=count_objects(self._dataset),
            boundary=measured("boundary") if boundary else None,
        )


def count_objects(dataset: CocoDataset) -> int:
    """Return how many objects a data set has, without crowds."""
    return sum(not item.crowd for image in dataset.images for item in image.objects)


def _numbers(dataset: CocoDataset) -> dict[int, int]:
    """Return 1, 2, ... for the ids of images as they rise: of equal scores, the lower id's comes first."""
    return {image: number for number, image in enumerate(sorted(image.id for image in dataset.images), 1)}


def _truth(dataset: CocoDataset) -> list[dict[str, Any]]:
    records = []
    numbers = _numbers(dataset)
    for image in dataset.images:
        for item in image.objects:
            x0, y0, x1, y1 = item.box.tolist()
            records.append(
                {
                    "image_id": numbers[image.id],
                    "category_id": 1 + item.class_index,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": item.area,
                    "iscrowd": int(item.crowd),
                    "segmentation": compressed(item.segmentation, image.height, image.width),
                }
            )
    return records


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


def _average_precision(
    tools: Any,  # noqa: ANN401
    dataset: CocoDataset,
    truth: list[dict[str, Any]],
    found: list[dict[str, Any]],
    kind: _Kind,
) -> AveragePrecision:
    # An instance's size is its box's area when boxes are judged, its mask's when masks are.
    if kind == "bbox":
        found = [{**record, "area": record["bbox"][2] * record["bbox"][3]} for record in found]
    evaluation = tools.COCOeval_faster(
        _index(tools, dataset, truth), _index(tools, dataset, found), kind, print_function=_silent
    )
    evaluation.evaluate()
    evaluation.accumulate()
    # (thresholds, recalls, classes, areas, detections); -1 where a class has no objects.
    precision = np.asarray(evaluation.eval["precision"])[..., -1]
    each = zip(dataset.class_names, np.moveaxis(precision[..., 0], 2, 0), strict=True)
    return AveragePrecision(
        ap=_mean(precision[..., 0]),
        ap50=_mean(precision[_IOU_50, ..., 0]),
        ap75=_mean(precision[_IOU_75, ..., 0]),
        ap_small=_mean(precision[..., 1]),
        ap_medium=_mean(precision[..., 2]),
        ap_large=_mean(precision[..., 3]),
        per_class=MappingProxyType({name: _mean(of_class) for name, of_class in each}),
        ar=_mean(np.asarray(evaluation.eval["recall"])[..., 0, -1]),
    )


def _index(tools: Any, dataset: CocoDataset, records: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    """Return records as the evaluator takes them.

    Images, classes and records are numbered from 1 instead of by the file's ids. The evaluator takes an
    annotation 0 for no match, keeps ids as doubles, in which those above 2**53 collide, and refuses
    negative ones.
    """
    numbered = [{"iscrowd": 0, **record, "id": number} for number, record in enumerate(records, 1)]
    numbers = _numbers(dataset)
    images = [
        {"id": numbers[image.id], "height": image.height, "width": image.width} for image in dataset.images
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(dataset.class_names, 1)]
    return tools.COCO(
        {"images": images, "annotations": numbered, "categories": categories}, print_function=_silent
    )


def _silent(text: object) -> None:
    """Stand in for the evaluator's log, which is no news to who called this."""


def _mean(precision: NDArray[np.float64]) -> float:
    """Return 100 times the mean of what was measured."""
    measured = precision[precision > -1]
    return 100 * float(measured.mean()) if len(measured) else float("nan")
