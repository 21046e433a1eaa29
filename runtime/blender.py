"""Bases and attention to masks: the blender of BlendMask (arXiv 2001.00309, section 3.3)."""

from __future__ import annotations

import functools
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.choices import check_choice
from edgeblend.errors import EngineError
from edgeblend.runtime.roi_align import CHUNK, RoiSampler

Interpolation = Literal["bilinear", "nearest"]

_MODERATE = 60.0
"""Largest difference of attention whose exponential float32 can hold, times any sensible basis."""


def blend_boxes(
    bases: NDArray[np.float32],
    boxes: NDArray[np.float32],
    attention: NDArray[np.float32],
    *,
    spatial_scale: float,
    mask_size: int,
    interpolation: Interpolation,
) -> NDArray[np.float32]:
    """RoIAlign and :func:`blend` in one, some boxes at a time.

    What RoIAlign samples never leaves the cache, and memory does not grow with it: for 300 boxes it would
    be 15 MB.

    Args:
        bases: (K, h, w).
        boxes: (N, 4) xyxy in network pixels, possibly beyond the bases.
        attention: (N, K, M, M).
        spatial_scale: cells of the bases per network pixel.
        mask_size: R.
        interpolation: how attention grows; bilinear is half-pixel and edge-clamped.

    Returns:
        (N, R, R) float32 probabilities.

    Raises:
        InputError: ``interpolation`` is another word.
        EngineError: a probability is not a number, because bases or attention hold NaN or infinity.
    """
    check_choice("interpolation", interpolation, get_args(Interpolation))
    sampler = RoiSampler(bases, boxes, spatial_scale=spatial_scale, output_size=mask_size)
    masks = np.empty((len(boxes), mask_size, mask_size), np.float32)
    for start in range(0, len(boxes), CHUNK):
        part = slice(start, start + CHUNK)
        rois = np.empty((len(bases), *masks[part].shape), np.float32)
        sampler.sample(part, out=rois)
        _blend(rois, attention[part], interpolation, out=masks[part])
    return masks


def blend(
    rois: NDArray[np.float32], attention: NDArray[np.float32], *, interpolation: Interpolation
) -> NDArray[np.float32]:
    """Blend each detection's bases by its attention.

    Attention grows from M x M to R x R, a softmax over K makes it weights, and the weighted sum of the
    bases goes through a sigmoid.

    Args:
        rois: (N, K, R, R), the bases over each box.
        attention: (N, K, M, M).
        interpolation: how attention grows; bilinear is half-pixel and edge-clamped.

    Returns:
        (N, R, R) float32 probabilities.

    Raises:
        InputError: ``interpolation`` is another word.
        EngineError: a probability is not a number, because bases or attention hold NaN or infinity.
    """
    check_choice("interpolation", interpolation, get_args(Interpolation))
    masks = np.empty((len(rois), *rois.shape[2:]), np.float32)
    for start in range(0, len(rois), CHUNK):
        part = slice(start, start + CHUNK)
        planes = np.ascontiguousarray(rois[part].swapaxes(0, 1))
        _blend(planes, attention[part], interpolation, out=masks[part])
    return masks


def _blend(
    rois: NDArray[np.float32],
    attention: NDArray[np.float32],
    interpolation: Interpolation,
    *,
    out: NDArray[np.float32],
) -> None:
    """Blend (K, n, R, R) by (n, K, M, M) to (n, R, R)."""
    num_bases, count, size, _ = rois.shape
    bases = rois.reshape(num_bases, count * size * size)
    # A softmax looks at differences alone: taken to the first basis, whose weight then is 1, they leave one
    # exponential fewer. Bilinear growth is linear, so that it may come after.
    differences = attention[:, 1:] - attention[:, :1]
    weights = _grow(differences, size, interpolation).reshape(num_bases - 1, bases.shape[1])
    # The growth stays between the values it grows from. "Not within": NaN must take the careful way.
    moderate = np.abs(differences).max(initial=0) <= _MODERATE
    first = None if moderate else _subtract_largest(weights)
    _exp_in_place(weights)
    total = np.add.reduce(weights, axis=0)
    total += 1 if first is None else first
    logits = np.einsum("kp,kp->p", weights, bases[1:], out=out.reshape(-1))
    logits += bases[0] if first is None else bases[0] * first
    logits /= total
    if np.isnan(logits.sum()):
        raise EngineError(
            "bases or attention hold non-finite values; the engine's precision may be too low, "
            "try the float32 bundle"
        )
    _sigmoid_in_place(logits)


def _grow(maps: NDArray[np.float32], size: int, interpolation: Interpolation) -> NDArray[np.float32]:
    """Resample (n, k, M, M) to (k, n, R, R)."""
    count, depth, source, _ = maps.shape
    matrix = _growth(source, size, interpolation)
    wide = np.matmul(maps.reshape(count, depth * source, source), matrix.T)
    wide = wide.reshape(count, depth, source, size).swapaxes(0, 1)
    return np.matmul(matrix, wide, out=np.empty((depth, count, size, size), np.float32))


def _subtract_largest(differences: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make all differences (K - 1, P) at most 0, and return what the first basis then weighs, (P,)."""
    largest = differences.max(axis=0, initial=0)
    differences -= largest
    np.negative(largest, out=largest)
    return _exp_in_place(largest)


def _sigmoid_in_place(logits: NDArray[np.float32]) -> None:
    np.negative(logits, out=logits)
    _exp_in_place(logits)
    logits += 1
    np.reciprocal(logits, out=logits)


def _exp_in_place(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """OpenCV's exponential: on AVX2 4.5 times as fast as NumPy's, with a relative error of 2e-7.

    Builds without Intel's library for it have 7e-6, and may make 0 of NaN.
    """
    flat = values.reshape(1, -1)  # a view: all that comes here is contiguous
    cv2.exp(flat, flat)
    return values


@functools.lru_cache(maxsize=8)
def _growth(source: int, target: int, interpolation: Interpolation) -> NDArray[np.float32]:
    """Return the (target, source) matrix that resamples one axis."""
    if interpolation == "nearest":
        picked = np.arange(target) * source // target
        matrix = np.eye(source, dtype=np.float32)[picked]
    else:
        positions = (np.arange(target) + 0.5) * source / target - 0.5
        positions = np.clip(positions, 0, source - 1)
        hats = 1 - np.abs(positions[:, None] - np.arange(source))
        matrix = np.maximum(hats, 0).astype(np.float32)
    matrix.setflags(write=False)
    return matrix
