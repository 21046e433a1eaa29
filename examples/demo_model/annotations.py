"""Annotation files in COCO's format: every mask is of what is visible of an object."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from compose import Instance
from objects import categories

from edgeblend.masks import rle

Json = dict[str, object]


def annotation_of(instance: Instance) -> Json:
    """Return an instance as COCO writes it, without ids."""
    rows, columns = np.flatnonzero(instance.mask.any(1)), np.flatnonzero(instance.mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "category_id": instance.category_id,
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "area": int(instance.mask.sum()),
        "iscrowd": 0,
        "segmentation": rle.encode(instance.mask),
    }


def write_annotations(path: Path, pictures: Iterable[tuple[Json, list[Json]]], *, seed: int) -> None:
    """Write an annotation file: pictures with their objects, all without ids, which are counted from 1."""
    images: list[Json] = []
    annotations: list[Json] = []
    for index, (image, found) in enumerate(pictures):
        images.append({"id": index + 1, **image})
        for annotation in found:
            annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **annotation})
    info = {"description": f"edgeblend demo data, {path.stem}", "seed": seed}
    document = {"info": info, "images": images, "annotations": annotations, "categories": categories()}
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", "utf-8")
