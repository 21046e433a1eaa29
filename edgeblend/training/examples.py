"""One labelled picture, changed as training wants it, and what the network should say about it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.coco import CocoImage, read_picture
from edgeblend.runtime.resize import resize_antialiased

SMALLEST_SIDE = 2.0
"""Objects with a shorter side, in network pixels, are left out: no location could learn them."""

_SMALLEST_SHARE = 0.2  # of an object's pixels that a crop must leave, else it is left out


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far pictures are changed, each time anew."""

    flip: bool = True
    """Mirror every second picture."""
    scales: tuple[float, float] = (0.75, 1.15)
    """Every batch is scaled by a factor from this range, over the config's own resize rule."""
    brightness: float = 0.15
    """Largest shift, as a share of the full range."""
    contrast: float = 0.2
    """Contrast is multiplied by 1 - this .. 1 + this."""
    saturation: float = 0.3
    """The same for the distance of colours from grey."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingExample:
    """A picture of (h, w) network pixels and its N objects."""

    image: NDArray[np.uint8]
    """(h, w, 3) BGR."""
    boxes: NDArray[np.float32]
    """(N, 4) xyxy in network pixels, tight around what is visible."""
    classes: NDArray[np.int64]
    """(N,)."""
    masks: NDArray[np.uint8]
    """(N, R, R), 0 or 1, each sampled at the centres of R x R bins over its box."""
    semantic: NDArray[np.int64]
    """(ceil(h / 8), ceil(w / 8)): 0, or 1 + class of the smallest object at the cell's centre."""


@dataclass(frozen=True, slots=True)
class ResizeRule:
    """The config's: short side to ``min_size``, unless the long side would pass ``max_size``."""

    min_size: int
    max_size: int

    def scale(self, height: int, width: int) -> float:
        """Return network pixels per picture pixel."""
        return min(self.min_size / min(height, width), self.max_size / max(height, width))


@dataclass(frozen=True, slots=True)
class _View:
    """What of a picture is seen: a region of it, resized."""

    left: int
    top: int
    width: int
    """Of the region, in picture pixels."""
    height: int
    size: tuple[int, int]
    """(h, w) in network pixels."""
    mirrored: bool


def make_example(
    image: CocoImage,
    *,
    rule: ResizeRule,
    scale: float,
    augmentation: Augmentation,
    mask_size: int,
    rng: np.random.Generator,
) -> TrainingExample:
    """Read a picture and return it scaled, cropped to ``rule.max_size`` a side, mirrored and relit at random.

    Crowds are left out, and so are objects of which a crop leaves less than a fifth.

    Raises:
        InputError: the picture is missing, broken, or of another size than its annotations say.
    """
    picture = read_picture(image)
    view = _choose_view(image, rule, scale, augmentation, rng)
    region = picture[view.top : view.top + view.height, view.left : view.left + view.width]
    region = resize_antialiased(np.ascontiguousarray(region), view.size)
    if view.mirrored:
        region = region[:, ::-1]
    boxes, classes, masks, whole = _objects(image, view, mask_size)
    return TrainingExample(
        image=np.ascontiguousarray(_relight(region, augmentation, rng)),
        boxes=boxes,
        classes=classes,
        masks=masks,
        semantic=_semantic(whole, classes, view.size),
    )


def _choose_view(
    image: CocoImage, rule: ResizeRule, scale: float, augmentation: Augmentation, rng: np.random.Generator
) -> _View:
    factor = rule.scale(image.height, image.width) * scale
    # What of the picture fits into the largest canvas, at a random place.
    width = min(image.width, max(1, round(rule.max_size / factor)))
    height = min(image.height, max(1, round(rule.max_size / factor)))
    size = (
        min(rule.max_size, max(1, round(height * factor))),
        min(rule.max_size, max(1, round(width * factor))),
    )
    return _View(
        left=int(rng.integers(image.width - width + 1)),
        top=int(rng.integers(image.height - height + 1)),
        width=width,
        height=height,
        size=size,
        mirrored=augmentation.flip and bool(rng.random() < 0.5),
    )


def _objects(
    image: CocoImage, view: _View, mask_size: int
) -> tuple[
    NDArray[np.float32],
    NDArray[np.int64],
    NDArray[np.uint8],
    list[tuple[NDArray[np.float32], NDArray[np.uint8]]],
]:
    """Boxes, classes and masks in the view, and each object's box and mask within it for the semantic map."""
    boxes, classes, masks = [], [], []
    whole: list[tuple[NDArray[np.float32], NDArray[np.uint8]]] = []
    ratio = np.array([view.size[1] / view.width, view.size[0] / view.height] * 2, np.float32)
    for item in image.objects:
        if item.crowd:
            continue
        full = item.mask(image.height, image.width)
        seen = full[view.top : view.top + view.height, view.left : view.left + view.width]
        if view.mirrored:
            seen = seen[:, ::-1]
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        if not len(rows) or np.count_nonzero(seen) < _SMALLEST_SHARE * np.count_nonzero(full):
            continue
        tight = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
        box = tight * ratio
        if min(box[2] - box[0], box[3] - box[1]) < SMALLEST_SIDE:
            continue
        pixels = np.ascontiguousarray(seen).view(np.uint8)
        boxes.append(box)
        classes.append(item.class_index)
        masks.append(_sample(pixels, *_bins(tight, mask_size)))
        whole.append((box.astype(np.float32), pixels))
    return (
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(masks, np.uint8).reshape(-1, mask_size, mask_size),
        whole,
    )


def _bins(box: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres of ``count`` bins along x and along y, in pixels of the picture."""
    steps = (np.arange(count, dtype=np.float32) + 0.5) / count
    return box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1])


def _sample(mask: NDArray[np.uint8], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Read a mask bilinearly at points (pixel centres lie at halves); 1 where it is at least half on."""
    columns, rows = np.meshgrid(x - 0.5, y - 0.5)
    # As float: cv2 would round a uint8's weights to fractions of a whole value.
    values = cv2.remap(
        mask.astype(np.float32),
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return (values >= 0.5).astype(np.uint8)


def _semantic(
    objects: list[tuple[NDArray[np.float32], NDArray[np.uint8]]],
    classes: NDArray[np.int64],
    size: tuple[int, int],
) -> NDArray[np.int64]:
    height, width = -(-size[0] // 8), -(-size[1] // 8)
    semantic = np.zeros((height, width), np.int64)
    by_falling_area = sorted(range(len(objects)), key=lambda index: -int(objects[index][1].sum()))
    for index in by_falling_area:  # the smallest object is drawn last
        mask = objects[index][1]
        rows = (np.arange(height) * 8 + 4) * mask.shape[0] // size[0]
        columns = (np.arange(width) * 8 + 4) * mask.shape[1] // size[1]
        inside = mask[np.minimum(rows, mask.shape[0] - 1)][:, np.minimum(columns, mask.shape[1] - 1)]
        semantic[inside.astype(bool)] = 1 + classes[index]
    return semantic


def _relight(
    image: NDArray[np.uint8], augmentation: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    contrast = 1 + rng.uniform(-augmentation.contrast, augmentation.contrast)
    shift = 255 * rng.uniform(-augmentation.brightness, augmentation.brightness)
    saturation = 1 + rng.uniform(-augmentation.saturation, augmentation.saturation)
    # Grey is (0.114, 0.587, 0.299) of blue, green, red (ITU-R BT.601); one matrix does all three changes.
    grey = np.array([0.114, 0.587, 0.299])
    matrix = contrast * (saturation * np.eye(3) + (1 - saturation) * grey[None, :])
    offset = 127.5 * (1 - contrast) + shift
    changed = cv2.transform(image, np.hstack([matrix, np.full((3, 1), offset)]).astype(np.float32))
    return changed.astype(np.uint8, copy=False)
