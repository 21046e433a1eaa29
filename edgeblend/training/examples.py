"""One labelled picture, changed as training wants it, and what the network should say about it.

Three frames: the picture as annotated, the region of it that a view shows (both in picture pixels), and what
the network sees of that region (network pixels). Continuous coordinates: pixel (x, y) covers x..x+1, y..y+1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.data.coco import CocoImage, CocoObject, read_picture
from edgeblend.runtime.resize import resize_antialiased
from edgeblend.training.options import Augmentation

SMALLEST_SIDE = 2.0
"""Objects with a shorter side, in network pixels, are left out: no location could learn them."""
SMALLEST_SHARE = 0.2
"""Objects of which a crop leaves a smaller share of their pixels are left out."""
SEMANTIC_STRIDE = 8
"""Network pixels per cell of the semantic map."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingExample:
    """A picture of (h, w) network pixels and its N objects."""

    image: NDArray[np.uint8]
    """(h, w, 3) BGR."""
    boxes: NDArray[np.float32]
    """(N, 4) xyxy in network pixels, tight around the pixels that are visible."""
    classes: NDArray[np.int64]
    """(N,)."""
    masks: NDArray[np.uint8]
    """(N, R, R), 0 or 1, each sampled at the centres of R x R bins over its box."""
    semantic: NDArray[np.int64]
    """Cells of 8 x 8 whose centre is in the picture: 0, or 1 + class of the smallest object there."""


@dataclass(frozen=True, slots=True)
class ResizeRule:
    """The config's: short side to ``min_size``, unless the long side would pass ``max_size``."""

    min_size: int
    max_size: int

    def scale(self, height: int, width: int) -> float:
        """Return network pixels per picture pixel."""
        return min(self.min_size / min(height, width), self.max_size / max(height, width))


@dataclass(frozen=True, slots=True)
class View:
    """What of a picture is seen: a region of it, resized, perhaps mirrored."""

    left: int
    top: int
    width: int
    """Width of the region, in image pixels."""
    height: int
    size: tuple[int, int]
    """(h, w) in network pixels."""
    mirrored: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """An object as far as a view shows it."""

    class_index: int
    mask: NDArray[np.uint8]
    """(height, width) of the region, 0 or 1, mirrored as the view is."""
    tight: NDArray[np.float64]
    """(4,) xyxy around the mask's pixels, within the region."""


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

    Crowds are left out, and so are objects of which too little is to be seen; see :data:`SMALLEST_SIDE` and
    :data:`SMALLEST_SHARE`.

    Raises:
        InputError: the picture is missing, broken, or of another size than its annotations say.
    """
    picture = read_picture(image)
    view = choose_view(image.height, image.width, rule, scale, flip=augmentation.flip, rng=rng)
    region = picture[view.top : view.top + view.height, view.left : view.left + view.width]
    region = resize_antialiased(np.ascontiguousarray(region), view.size)
    if view.mirrored:
        region = region[:, ::-1]
    ratio = np.array([view.size[1] / view.width, view.size[0] / view.height] * 2)
    found = [_see(item, image, view) for item in image.objects if not item.crowd]
    seen = [item for item in found if item is not None and _shortest(item.tight * ratio) >= SMALLEST_SIDE]
    return TrainingExample(
        image=np.ascontiguousarray(_relight(region, augmentation, rng)),
        boxes=np.array([item.tight * ratio for item in seen], np.float32).reshape(-1, 4),
        classes=np.array([item.class_index for item in seen], np.int64),
        masks=np.array([sample_mask(item.mask, item.tight, mask_size) for item in seen], np.uint8).reshape(
            -1, mask_size, mask_size
        ),
        semantic=_semantic(seen, view.size),
    )


def choose_view(
    height: int, width: int, rule: ResizeRule, scale: float, *, flip: bool, rng: np.random.Generator
) -> View:
    """Return what fits into the largest canvas of a picture that is scaled by the rule and by ``scale``.

    Where not all fits, the place is random; so is whether it is mirrored.
    """
    factor = rule.scale(height, width) * scale
    seen_height, seen_width = (min(side, max(1, round(rule.max_size / factor))) for side in (height, width))
    size = tuple(min(rule.max_size, max(1, round(side * factor))) for side in (seen_height, seen_width))
    return View(
        left=int(rng.integers(width - seen_width + 1)),
        top=int(rng.integers(height - seen_height + 1)),
        width=seen_width,
        height=seen_height,
        size=(size[0], size[1]),
        mirrored=flip and bool(rng.random() < 0.5),
    )


def sample_mask(mask: NDArray[np.uint8], box: NDArray[np.float64], count: int) -> NDArray[np.uint8]:
    """Return (count, count): a mask of 0 and 1 read bilinearly at the centres of bins over a box.

    As RoIAlign reads the bases: pixel centres lie at halves, one sample a bin. 1 where at least half is on.

    Args:
        mask: (H, W) uint8.
        box: (4,) xyxy in pixels of the mask, within it.
        count: bins along x and along y.
    """
    steps = (np.arange(count) + 0.5) / count
    (left, right, x), (top, bottom, y) = (
        _neighbours(box[axis] + steps * (box[axis + 2] - box[axis]), mask.shape[1 - axis]) for axis in (0, 1)
    )
    upper, lower = (
        mask[np.ix_(rows, left)] * (1 - x) + mask[np.ix_(rows, right)] * x for rows in (top, bottom)
    )
    return (upper * (1 - y[:, None]) + lower * y[:, None] >= 0.5).astype(np.uint8)


def _neighbours(
    points: NDArray[np.float64], size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """The pixels before and after each point, and the weight of the one after; the edge goes on outside."""
    places = np.clip(points - 0.5, 0, size - 1)
    before = places.astype(np.intp)
    return before, np.minimum(before + 1, size - 1), places - before


def _see(item: CocoObject, image: CocoImage, view: View) -> _Seen | None:
    whole = item.mask(image.height, image.width)
    mask = whole[view.top : view.top + view.height, view.left : view.left + view.width]
    if view.mirrored:
        mask = mask[:, ::-1]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows) or np.count_nonzero(mask) < SMALLEST_SHARE * np.count_nonzero(whole):
        return None
    tight = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    return _Seen(item.class_index, np.ascontiguousarray(mask).view(np.uint8), tight)


def _shortest(box: NDArray[np.float64]) -> float:
    return float((box[2:] - box[:2]).min())


def _semantic(objects: Sequence[_Seen], size: tuple[int, int]) -> NDArray[np.int64]:
    half = SEMANTIC_STRIDE // 2
    # Centres at 8 i + 4 that are below the size; the cell beyond them is not the picture's.
    centres = [np.arange((side + half - 1) // SEMANTIC_STRIDE) * SEMANTIC_STRIDE + half for side in size]
    semantic = np.zeros((len(centres[0]), len(centres[1])), np.int64)
    for item in sorted(objects, key=lambda item: -np.count_nonzero(item.mask)):  # the smallest is drawn last
        rows, columns = (
            at * pixels // side for at, pixels, side in zip(centres, item.mask.shape, size, strict=True)
        )
        semantic[item.mask[np.ix_(rows, columns)] != 0] = 1 + item.class_index
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
