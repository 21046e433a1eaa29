"""Which detections of a few images match an object, as COCO's evaluator says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.data.coco_segmentation import coco_tools

Kind = Literal["bbox", "segm", "boundary"]
"""What overlaps: boxes, masks, or the smaller one of the masks' IoU and of their boundaries'."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The evaluator's own, of one kind."""

    iou_thresholds: NDArray[np.float64]
    """(T,): 0.50, 0.55, ..., 0.95."""
    recall_thresholds: NDArray[np.float64]
    """(R,): 0, 0.01, ..., 1."""
    area_ranges: NDArray[np.float64]
    """(A, 2) smallest and largest area: all, small, medium, large."""
    max_detections: int
    """Largest number of detections per image and class."""


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """N detections of some images, grouped by class. An ignored one is neither matched nor false."""

    classes: NDArray[np.int32]
    """(N,) rising class indices."""
    scores: NDArray[np.float64]
    """(N,)."""
    ranks: NDArray[np.int64]
    """(N,) the lower comes first where scores are equal: by image, then in the evaluator's order."""
    matched: NDArray[np.bool_]
    """(A, T, N): whether it matches an object."""
    false: NDArray[np.bool_]
    """(A, T, N): whether it counts and matches none."""


def evaluator_settings(kind: Kind) -> Settings:
    """Return what the evaluator works with unless told otherwise."""
    params = coco_tools().COCOeval_faster(iouType=kind, print_function=_silent).params
    return Settings(
        np.asarray(params.iouThrs, np.float64),
        np.asarray(params.recThrs, np.float64),
        np.asarray(params.areaRng, np.float64),
        params.maxDets[-1],
    )


def match_detections(
    kind: Kind,
    sizes: Mapping[int, tuple[int, int]],
    truth: Sequence[dict[str, Any]],
    found: Sequence[dict[str, Any]],
) -> Matches:
    """Return how detections match the objects of their images.

    Args:
        kind: what is to overlap.
        sizes: (height, width) by image number; 1 or above.
        truth: annotations, with image numbers and ``1 + class index`` as ``category_id``; those of a
            class that was not found in their image are not needed.
        found: result records, likewise; at least one.
    """
    of_found, of_truth = _pairs(found), _pairs(truth)
    records = [_as_judged(record, kind, _pair(record) in of_truth) for record in found]
    categories = {category for category, _ in of_found}
    evaluation = coco_tools().COCOeval_faster(
        _index(sizes, categories, truth),
        _index(sizes, categories, records),
        kind,
        print_function=_silent,
        separate_eval=True,  # so that what it says of each image can be read
    )
    evaluation.evaluate()
    return _matches_of(evaluation, of_found)


def _pairs(records: Iterable[dict[str, Any]]) -> set[tuple[int, int]]:
    """Return which classes are in which images: pairs of category and image."""
    return {_pair(record) for record in records}


def _pair(record: dict[str, Any]) -> tuple[int, int]:
    return record["category_id"], record["image_id"]


def _as_judged(record: dict[str, Any], kind: Kind, may_match: bool) -> dict[str, Any]:
    """Return a result record as the evaluator needs it."""
    if kind == "bbox":
        # An instance's size is its box's area when boxes are judged, its mask's when masks are.
        record = {**record, "area": record["bbox"][2] * record["bbox"][3]}
    # A mask is compared with those of its class, and boundaries take longer than all else.
    return record if may_match else {key: value for key, value in record.items() if key != "segmentation"}


def _index(
    sizes: Mapping[int, tuple[int, int]], categories: set[int], records: Sequence[dict[str, Any]]
) -> Any:  # noqa: ANN401
    """Return records as the evaluator takes them.

    They are numbered from 1: the evaluator takes an annotation 0 for no match.
    """
    return coco_tools().COCO(
        {
            "images": [{"id": id_, "height": size[0], "width": size[1]} for id_, size in sizes.items()],
            "annotations": [
                {"iscrowd": 0, **record, "id": number} for number, record in enumerate(records, 1)
            ],
            "categories": [{"id": number, "name": str(number)} for number in sorted(categories)],
        },
        print_function=_silent,
    )


def _matches_of(evaluation: Any, pairs: set[tuple[int, int]]) -> Matches:  # noqa: ANN401
    """Read what the evaluator found of each class and image that has detections.

    Its results come by class, area range and image, and are opaque but for their state when pickled: matches
    (T * D), 0 for none, those of the objects, scores (D,), which objects and which detections (T * D) are
    ignored, and the pairs.
    """
    params, results = evaluation.params, evaluation._evalImgs_cpp
    areas, thresholds, images = len(params.areaRng), len(params.iouThrs), len(params.imgIds)
    rows = {category: row for row, category in enumerate(params.catIds)}
    columns = {image: column for column, image in enumerate(params.imgIds)}
    classes, scores, ranks, matches, ignored = [], [], [], [], []
    for category, image in sorted(pairs):
        first = rows[category] * areas * images + columns[image]
        states = [results[first + area * images].__getstate__() for area in range(areas)]
        count = len(states[0][2])
        shape = areas, thresholds, count
        classes.append(np.full(count, category - 1, np.int32))
        scores.append(np.array(states[0][2], np.float64))
        ranks.append(image * params.maxDets[-1] + np.arange(count, dtype=np.int64))
        matches.append(np.array([state[0] for state in states], np.int64).reshape(shape) > 0)
        ignored.append(np.array([state[4] for state in states], np.bool_).reshape(shape))
    matched, counts = np.concatenate(matches, axis=2), ~np.concatenate(ignored, axis=2)
    return Matches(
        np.concatenate(classes),
        np.concatenate(scores),
        np.concatenate(ranks),
        matched & counts,
        ~matched & counts,
    )


def _silent(text: object) -> None:
    """Stand in for the evaluator's log, which is no news to who called this."""
