"""A data set to learn: red rectangles and blue circles on grey noise, and a small Lite0 that learns it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CLASS_NAMES = ("rectangle", "circle")
_CATEGORY_IDS = (3, 7)  # with gaps
_COLOURS = ((40, 40, 230), (230, 90, 40))  # BGR

LITE_YAML = """\
MODEL:
  META_ARCHITECTURE: BlendMask
  BACKBONE: {{NAME: build_fcos_efficientnet_lite_fpn_backbone}}
  EFFICIENTNET_LITE: {{NORM: FrozenBN}}
  PIXEL_MEAN: [127.0, 127.0, 127.0]
  PIXEL_STD: [128.0, 128.0, 128.0]
  FPN: {{IN_FEATURES: [stage3, stage4, stage5], OUT_CHANNELS: {channels}}}
  FCOS:
    TOP_LEVELS: 0
    IN_FEATURES: [p3, p4, p5]
    FPN_STRIDES: [8, 16, 32]
    NUM_CLASSES: 5
    NORM: BN
    NUM_CLS_CONVS: 0
    NUM_BOX_CONVS: 0
    NUM_SHARE_CONVS: 1
    USE_SCALE: False
    THRESH_WITH_CTR: True
    SIZES_OF_INTEREST: [32, 64]
  BASIS_MODULE: {{CONVS_DIM: {channels}, NUM_CONVS: 1, NORM: BN, LOSS_ON: True}}
  BLENDMASK: {{ATTN_SIZE: {attention}, BOTTOM_RESOLUTION: 56}}
INPUT: {{MIN_SIZE_TEST: {size}, MAX_SIZE_TEST: {size}}}
SOLVER: {{BASE_LR: 0.01}}
"""


def write_lite(folder: Path, *, size: int = 64, channels: int = 16, attention: int = 4) -> Path:
    """Write the config of a Lite0 with small heads, for canvases of ``size`` a side."""
    path = folder / "lite.yaml"
    path.write_text(LITE_YAML.format(size=size, channels=channels, attention=attention))
    return path


def write_shapes(
    folder: Path, name: str = "train", *, count: int = 6, size: int = 64, seed: int = 0, shapes: int = 2
) -> Path:
    """Write pictures with ``shapes`` objects each and their annotations; return the JSON's path.

    Every other object is annotated by run lengths, the others by polygons.
    """
    rng = np.random.default_rng([seed, count, size])
    (folder / name).mkdir(parents=True)
    images, annotations = [], []
    for index in range(count):
        masks, classes = _place(rng, size, shapes)
        picture = rng.integers(90, 150, (size, size, 3), np.uint8)
        for mask, kind in zip(masks, classes, strict=True):
            picture[mask] = _COLOURS[kind]
        file_name = f"{index}.png"
        cv2.imwrite(str(folder / name / file_name), picture)
        images.append({"id": index + 1, "file_name": file_name, "width": size, "height": size})
        for mask, kind in zip(masks, classes, strict=True):
            number = len(annotations) + 1
            annotations.append(annotation(number, index + 1, kind, mask, polygons=number % 2 == 0))
    return write_document(folder / f"{name}.json", images, annotations)


def write_document(path: Path, images: Sequence[Any], annotations: Sequence[Any]) -> Path:
    categories = [
        {"id": number, "name": name} for number, name in zip(_CATEGORY_IDS, CLASS_NAMES, strict=True)
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(document))
    return path


def annotation(number: int, image: int, kind: int, mask: np.ndarray, *, polygons: bool) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "id": number,
        "image_id": image,
        "category_id": _CATEGORY_IDS[kind],
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": _polygons(mask) if polygons else _run_lengths(mask),
    }


def _place(rng: np.random.Generator, size: int, shapes: int) -> tuple[list[np.ndarray], list[int]]:
    """Masks that do not touch: each in a quarter of its own."""
    half = size // 2
    quarters = rng.permutation(4)[:shapes]
    y, x = np.mgrid[:size, :size]
    masks, classes = [], []
    for quarter in quarters:
        height, width = rng.integers(half // 2, half - 3, 2)
        kind = int(rng.integers(2))
        if kind == 1:
            width = height
        top = int(quarter) // 2 * half + int(rng.integers(1, half - height - 1))
        left = int(quarter) % 2 * half + int(rng.integers(1, half - width - 1))
        if kind == 0:
            mask = (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
        else:
            radius = height / 2
            mask = (y + 0.5 - top - radius) ** 2 + (x + 0.5 - left - radius) ** 2 <= radius**2
        masks.append(mask)
        classes.append(kind)
    return masks, classes


def _polygons(mask: np.ndarray) -> list[list[float]]:
    from edgeblend.masks.polygons import mask_to_polygons

    return [polygon.exterior.ravel().tolist() for polygon in mask_to_polygons(mask)]


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Uncompressed: columns first, beginning with how many are 0."""
    flat = mask.ravel(order="F").astype(np.int8)
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": counts if flat[0] == 0 else [0, *counts]}
