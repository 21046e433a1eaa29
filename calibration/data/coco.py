"""Read a data set of pictures with instance masks in COCO's format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.checks import check_list, check_path, check_text
from edgeblend.calibration.data.coco_categories import read_classes
from edgeblend.calibration.data.coco_file import Annotation, Image, listed, read_document
from edgeblend.calibration.data.coco_pictures import find_pictures
from edgeblend.calibration.data.coco_segmentation import (
    Segmentation,
    Unusable,
    area_of,
    bounds_of,
    mask_of,
    read_segmentations,
)
from edgeblend.errors import InputError
from edgeblend.runtime.images import read_image, stored_size

_CHUNK = 20_000  # annotations whose outlines are Python lists at one time
_CLIP_NOTED = 1.0  # pixels; COCO's own boxes pass the border by rounding


@dataclass(frozen=True, slots=True, eq=False)
class CocoObject:
    """One object of a picture."""

    id: int
    """Id of the annotation."""
    box: NDArray[np.float32]
    """(4,) xyxy in picture pixels, clipped to the picture; it has an area."""
    class_index: int
    """Index into the data set's ``class_names``."""
    crowd: bool
    """A region of many objects, which training leaves out and evaluation does not count."""
    area: float
    """Area of the mask in pixels, as the file says; computed where the file does not say."""
    segmentation: Segmentation
    """Polygons as a tuple of float64 rings (x0, y0, x1, y1, ...), or COCO's run lengths as a dict."""

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return the mask (height, width) on the picture, which is that large.

        Polygons are rasterised as COCO's own tools do; a sliver may cover no pixel at all.

        Raises:
            InputError: run lengths of another size.
            MissingPackageError: faster-coco-eval, which polygons need, is not installed.
        """
        return mask_of(self.segmentation, height, width)


@dataclass(frozen=True, slots=True, eq=False)
class CocoImage:
    """One picture and its objects."""

    id: int
    path: Path
    width: int
    """Width in pixels, as the annotations say; reading the image compares."""
    height: int
    objects: tuple[CocoObject, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CocoDataset:
    """Pictures with objects, in the order of their file."""

    source: Path
    """Path of the annotations."""
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    """The category id of each class. A class that the file does not have got an id it does not use."""
    images: tuple[CocoImage, ...]
    notes: tuple[str, ...]
    """Notes on what was dropped or changed while reading and how often, one line each."""


def read_coco(
    annotations: Path | str,
    images: Path | str | None = None,
    *,
    class_names: Sequence[str] | None = None,
) -> CocoDataset:
    """Read a COCO file of instances and check it against itself and its folder of pictures.

    What is clear is read as it is meant, and what was changed is in ``notes``: objects that cannot be learnt
    from (no mask, no area, outside the picture) are dropped, and so on. Pictures are looked for, and opened
    where their size is missing.

    Args:
        annotations: the JSON file.
        images: the folder that its file names start from; default: the folder beside the file that is
            called like it (``train.json``, ``train/``), else the folder the file is in.
        class_names: a model's classes, which the file's are mapped to by name. Default: the file's own
            by ascending category id.

    Raises:
        InputError: the file is missing or not COCO's format, contradicts itself, names a class that
            ``class_names`` lacks, or pictures are missing.
    """
    path = check_path("annotations", annotations)
    if images is not None:
        images = check_path("images", images)
    if class_names is not None:
        class_names = [
            check_text("class_names", name) for name in check_list("class_names", class_names, "names")
        ]
    document, notes = read_document(path)
    used = {item.category_id for item in document.annotations}
    classes = read_classes(path, document.categories, used, class_names)
    files, of_files = find_pictures(path, images, [image.file_name for image in document.images])
    measured = _measure(document.images, files)
    pictures = {image.id: image for image in measured}
    objects, of_objects = _objects(path, document.annotations, pictures, classes.indices)
    found = tuple(
        CocoImage(image.id, file, image.width, image.height, tuple(objects[image.id]))
        for image, file in zip(measured, files, strict=True)
    )
    every = (*notes, *classes.notes, *of_files, *_sizes_noted(document.images), *of_objects)
    return CocoDataset(path, classes.names, classes.ids, found, every)


def read_picture(image: CocoImage) -> NDArray[np.uint8]:
    """Return a picture as (H, W, 3) uint8 BGR.

    Raises:
        InputError: it cannot be read, or is not as large as the annotations say.
    """
    picture = read_image(image.path)
    height, width = picture.shape[:2]
    if (height, width) != (image.height, image.width):
        raise InputError(
            f"{image.path}: expected {image.width}x{image.height} pixels as annotated, got {width}x{height}; "
            + _why_another_size(image, (height, width))
        )
    return picture


def _why_another_size(image: CocoImage, size: tuple[int, int]) -> str:
    if size != (image.width, image.height):
        return "use the annotated file"
    if stored_size(image.path) != size:
        return "it seems to have been annotated before it was turned as its EXIF tag says"
    return "width and height seem to be exchanged in the annotations"


@dataclass(frozen=True, slots=True)
class _Sized:
    """A picture and how large it is."""

    id: int
    width: int
    height: int


def _measure(images: Sequence[Image], files: Sequence[Path]) -> list[_Sized]:
    """Return the size of each picture as the file says, else that of the picture itself."""
    sized = []
    for image, file in zip(images, files, strict=True):
        if image.width is None or image.height is None:
            height, width = read_image(file).shape[:2]
            sized.append(_Sized(image.id, width, height))
        else:
            sized.append(_Sized(image.id, image.width, image.height))
    return sized


def _sizes_noted(images: Sequence[Image]) -> list[str]:
    missing = sum(image.width is None or image.height is None for image in images)
    return [f"{missing} pictures without width or height: taken from the files"] if missing else []


def _objects(
    path: Path, items: list[Annotation], pictures: Mapping[int, _Sized], indices: Mapping[int, int]
) -> tuple[dict[int, list[CocoObject]], list[str]]:
    """Return the objects by image id, and notes."""
    objects: dict[int, list[CocoObject]] = {image: [] for image in pictures}
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for first in range(0, len(items), _CHUNK):
        chunk = items[first : first + _CHUNK]
        sizes = [(pictures[item.image_id].height, pictures[item.image_id].width) for item in chunk]
        segmentations, rings = read_segmentations([item.segmentation for item in chunk], sizes)
        counts.update(rings)
        given, taken = _given_boxes(chunk, segmentations)
        counts.update(taken)
        boxes, reasons, clipped = _boxes(given, sizes)
        for item, size, box, reason, cut, mask in zip(
            chunk, sizes, boxes, reasons, clipped, segmentations, strict=True
        ):
            if isinstance(mask, Unusable):
                if mask.wrong:
                    wrong.append(f"annotation {item.id}: {mask.reason}")
                else:
                    counts[f"objects dropped: {mask.reason}"] += 1
            elif reason:
                counts[f"objects dropped: {reason}"] += 1
            else:
                area = area_of(mask, *size) if item.area is None else item.area
                index = indices[item.category_id]
                made = CocoObject(item.id, box, index, bool(item.iscrowd), area, mask)
                objects[item.image_id].append(made)
                counts["boxes clipped to their picture"] += cut
    if wrong:
        raise InputError(f"{path}: segmentations are wrong: {listed(wrong)}")
    if items and counts["objects dropped: no segmentation"] == len(items):
        raise InputError(f"{path}: expected instance masks, got boxes alone; add segmentations")
    return objects, _notes(counts, objects)


def _given_boxes(
    items: list[Annotation], segmentations: Sequence[Segmentation | Unusable]
) -> tuple[NDArray[np.float64], Counter[str]]:
    """Return boxes (N, 4) xyxy, and how many are those of the masks, by why the file's are not taken."""
    nothing = (math.nan,) * 4
    given = np.array([item.bbox or nothing for item in items], np.float64).reshape(-1, 4)  # None becomes nan
    missing = np.isnan(given).any(axis=1)
    without_area = ~missing & ~(given[:, 2:] > 0).all(axis=1)
    with np.errstate(over="ignore"):
        given[:, 2:] += given[:, :2]
    taken: Counter[str] = Counter()
    for why, wrong in (("missing or not finite", missing), ("without an area", without_area)):
        for index in np.flatnonzero(wrong).tolist():
            mask = segmentations[index]
            if not isinstance(mask, Unusable):
                given[index] = bounds_of(mask)
                taken[f"boxes {why}: taken from their masks"] += 1
    return given, taken


def _boxes(
    given: NDArray[np.float64], sizes: list[tuple[int, int]]
) -> tuple[list[NDArray[np.float32]], list[str], list[bool]]:
    """Return each box as xyxy within its picture, why it is unusable or "", and whether it was clipped."""
    limits = np.array(sizes, np.float64).reshape(-1, 2)[:, [1, 0, 1, 0]]
    boxes = np.clip(given, 0, limits).astype(np.float32)
    boxes.flags.writeable = False
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    meets = (given[:, :2] < limits[:, :2]).all(axis=1) & (given[:, 2:] > 0).all(axis=1)
    reasons = np.where(has_area, "", np.where(meets, "a box without an area", "outside the picture"))
    clipped = np.asarray((np.abs(given - boxes) > _CLIP_NOTED).any(axis=1))
    return list(boxes), reasons.tolist(), clipped.tolist()


def _notes(counts: Counter[str], objects: dict[int, list[CocoObject]]) -> list[str]:
    notes = [f"{count} {text}" for text, count in counts.items() if count]
    if empty := sum(not found for found in objects.values()):
        notes.append(f"{empty} of {len(objects)} pictures without objects")
    return notes
