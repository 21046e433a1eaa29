"""Data sets in COCO's format, with pictures beside them."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from edgeblend.calibration.data.coco import CocoDataset, read_coco, read_picture
from edgeblend.errors import InputError

from ..mutate_text import as_json, mutate_json
from .kind import Kind, expect

_WIDTH, _HEIGHT = 16, 12
_PICTURES = ("a.ppm", "b.ppm")
_BOX = [[3, 2, 11, 2, 11, 9, 3, 9]]


def _annotation(number: int, image: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    made = {"id": number, "image_id": image, "category_id": category, "bbox": [3, 2, 8, 7], "area": 56.0}
    return {**made, "iscrowd": 0, "segmentation": segmentation, **more}


_GOOD = {
    "info": {"year": 2026, "description": "two pictures"},
    "licenses": [],
    "images": [
        {"id": number, "file_name": name, "width": _WIDTH, "height": _HEIGHT}
        for number, name in enumerate(_PICTURES, 1)
    ],
    "categories": [
        {"id": 3, "name": "cup", "supercategory": "none"},
        {"id": 7, "name": "spoon", "supercategory": "cup"},
    ],
    "annotations": [
        _annotation(1, 1, 3, _BOX),
        _annotation(2, 1, 7, [*_BOX, [1, 1, 4, 1, 4, 4]], score=0.5),
        _annotation(3, 2, 3, {"size": [_HEIGHT, _WIDTH], "counts": [30, 5, 157]}, iscrowd=1),
        _annotation(4, 2, 7, {"size": [_HEIGHT, _WIDTH], "counts": "o06k4"}),
        _annotation(5, 2, 7, [[3.5, 2.25, 11, 2, 11, 9]], area=None),
    ],
}


def _write(folder: Path) -> None:
    _write_pictures(folder)
    (folder / "labels.json").write_bytes(as_json(_GOOD, Random(0)))


def _make(random: Random, folder: Path) -> None:
    _write_pictures(folder)
    (folder / "labels.json").write_bytes(mutate_json(_GOOD, random))


def _write_pictures(folder: Path) -> None:
    for name in _PICTURES:
        (folder / name).write_bytes(f"P6 {_WIDTH} {_HEIGHT} 255\n".encode() + bytes(_WIDTH * _HEIGHT * 3))


def _run(folder: Path) -> None:
    dataset = read_coco(folder / "labels.json")
    _check(dataset)
    for image in dataset.images[:3]:
        picture = read_picture(image)
        expect(picture.shape == (image.height, image.width, 3), "a picture is not as large as it says")
        for found in image.objects[:3]:
            mask = found.mask(image.height, image.width)
            expect(mask.shape == (image.height, image.width), "a mask is not as large as its picture")


def _check(dataset: CocoDataset) -> None:
    classes = len(dataset.class_names)
    expect(classes == len(dataset.category_ids) > 0, "there are not as many category ids as classes")
    expect(len(set(dataset.class_names)) == classes, "two classes have one name")
    expect(len(set(dataset.category_ids)) == classes, "two classes have one category id")
    expect(len(dataset.images) > 0, "there are no pictures")
    for image in dataset.images:
        expect(image.width > 0 and image.height > 0, "a picture has no area")
        for found in image.objects:
            box = found.box
            expect(box.shape == (4,) and bool(np.isfinite(box).all()), "a box is not finite")
            expect(bool((box[:2] < box[2:]).all()), "a box has no area")
            expect(
                bool((box >= 0).all() and box[2] <= image.width and box[3] <= image.height),
                "a box is outside",
            )
            expect(0 <= found.class_index < classes, "an object is of no class")
            expect(0 <= found.area < float("inf"), "an area is no number")


KINDS = (Kind("coco", _make, _run, (InputError,), _write, share=14),)
