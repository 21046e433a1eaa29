"""Outputs of a network that saw a known number of objects, without a network.

Boxes of the sizes that each level is made for, smooth bases, random attention. Beside the objects there is
noise below the threshold; each object is seen by four cells, of which non-maximum suppression leaves one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.runtime.attention import AttentionLayer
from edgeblend.runtime.decode import LevelOutputs
from edgeblend.spec import BlendSpec, DecodeSpec, LevelSpec

FloatArray = NDArray[np.float32]

CANVAS = (512, 736)
STRIDES = (8, 16, 32)
CHANNELS = 256
"""Of the features that the attention layer looks at."""
BLEND = BlendSpec(
    num_bases=4, attention_size=14, attention_interpolation="bilinear", mask_size=56, basis_stride=4
)

_SIDES = ((24, 64), (64, 128), (128, 512))
"""Smallest and largest side of the boxes of a level, in pixels."""
_SHARES = (0.5, 0.3, 0.2)
_MOST = (1472, 300, 60)
"""Objects of a level, as a share of all and at most; the coarse levels have few cells."""


@dataclass(frozen=True, slots=True, eq=False)
class Synthetic:
    """What the graphs give for one picture of ``CANVAS``, and what turns it into instances."""

    levels: list[LevelOutputs]
    features: list[FloatArray]
    """(CHANNELS, h, w) a level, for sparse attention."""
    attention_maps: list[FloatArray]
    """(K * M * M, h, w) a level, for dense attention."""
    layer: AttentionLayer
    bases: FloatArray
    """(K, h, w) at stride 4."""
    decode: DecodeSpec


def synthetic_outputs(count: int, *, num_classes: int = 80, dense: bool = False, seed: int = 0) -> Synthetic:
    """Return outputs that decode to ``count`` detections; attention maps only if ``dense``."""
    rng = np.random.default_rng(seed)
    height, width = CANVAS
    grids = [(height // stride, width // stride) for stride in STRIDES]
    levels = [_background(rng, grid, num_classes) for grid in grids]
    _plant(rng, levels, count, num_classes)
    outputs = BLEND.num_bases * BLEND.attention_size**2
    return Synthetic(
        levels=levels,
        features=[_normal(rng, (CHANNELS, *grid)) for grid in grids],
        attention_maps=[_normal(rng, (outputs, *grid)) for grid in grids] if dense else [],
        layer=AttentionLayer(
            _normal(rng, (9 * CHANNELS, outputs)) / np.float32(3 * CHANNELS**0.5), _normal(rng, (outputs,))
        ),
        bases=_smooth_bases(rng),
        decode=DecodeSpec(
            levels=tuple(LevelSpec(name=f"p{n}", stride=s) for n, s in enumerate(STRIDES, 3)),
            num_classes=num_classes,
            score_threshold=0.05,
            threshold_with_centerness=True,
            nms_threshold=0.6,
            pre_nms_top_k=10_000,
            max_detections=max(count, 100),
        ),
    )


def _background(rng: np.random.Generator, grid: tuple[int, int], num_classes: int) -> LevelOutputs:
    logits = _normal(rng, (num_classes, *grid)) - 6
    np.minimum(logits, -4, out=logits)  # a probability of 0.018
    return LevelOutputs(logits, np.ones((4, *grid), np.float32), _normal(rng, (1, *grid)) - 1)


def _plant(rng: np.random.Generator, levels: list[LevelOutputs], count: int, num_classes: int) -> None:
    shares = [min(int(count * share), most) for share, most in zip(_SHARES, _MOST, strict=True)]
    shares[0] += count - sum(shares)
    placed: list[list[FloatArray]] = [[] for _ in range(num_classes)]
    number = 0
    for outputs, stride, sides, share in zip(levels, STRIDES, _SIDES, shares, strict=True):
        rows, columns = outputs.centerness.shape[1] // 2, outputs.centerness.shape[2] // 2
        slots = iter(rng.permutation(rows * columns).tolist())
        for _ in range(share):
            # Classes come in waves, so that each has boxes of all levels.
            label = number % num_classes
            box, row, column = _free_box(rng, slots, columns, stride, sides, placed[label])
            placed[label].append(box)
            _write(rng, outputs, (row, column), stride, box, label)
            number += 1


def _free_box(
    rng: np.random.Generator,
    slots: Iterator[int],
    columns: int,
    stride: int,
    sides: tuple[int, int],
    others: list[FloatArray],
) -> tuple[FloatArray, int, int]:
    """A box around four cells that no box of its class suppresses."""
    for slot in slots:
        row, column = slot // columns * 2, slot % columns * 2
        centre = (np.array([column, row]) + 1) * stride
        half = np.exp(rng.uniform(np.log(sides[0]), np.log(sides[1]), 2)) / 2
        box = np.concatenate([centre - half, centre + half]).astype(np.float32)
        if all(_iou(box, other) < 0.5 for other in others):
            return box, row, column
    raise ValueError("no room for so many objects of one class")


def _iou(box: FloatArray, other: FloatArray) -> float:
    shared = np.prod(np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0))
    areas = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])
    return float(shared / (areas - shared))


def _write(
    rng: np.random.Generator,
    outputs: LevelOutputs,
    cell: tuple[int, int],
    stride: int,
    box: FloatArray,
    label: int,
) -> None:
    """Let four cells see the object, the first one best."""
    logit = rng.uniform(0, 4)
    for step, (down, right) in enumerate(np.ndindex(2, 2)):
        row, column = cell[0] + down, cell[1] + right
        centre = np.array([column, row]) * stride + stride // 2
        outputs.cls_logits[label, row, column] = logit - 0.2 * step
        outputs.centerness[0, row, column] = 2 - 0.2 * step
        outputs.box_reg[:, row, column] = np.concatenate([centre - box[:2], box[2:] - centre]) / stride


def _smooth_bases(rng: np.random.Generator) -> FloatArray:
    size = (CANVAS[0] // BLEND.basis_stride, CANVAS[1] // BLEND.basis_stride)
    bases = [cv2.GaussianBlur(_normal(rng, size), (0, 0), 4) for _ in range(BLEND.num_bases)]
    return np.stack([basis * np.float32(4 / basis.std()) for basis in bases])


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return rng.standard_normal(shape, np.float32)
