"""The weights of TFLite layers as integers: their ranges, and what rounding them does to a layer's mean."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from edgeblend.converters.tflite.model_file import (
    LAYERS,
    Model,
    constant,
    layer_name,
    operators,
    set_constant,
    tensor_name,
)
from edgeblend.converters.tflite.ranges import Statistics

FloatArray = NDArray[np.float32]

_LEVELS, _SAFE_LEVELS = 127, 63
_BIAS_LEVELS = 2**24
"""A bias is stored in steps of its input's times its weights' scale, in 32 bits. A channel whose weights are
next to nothing would take so small a step that its bias does not fit, and be a constant of the wrong size."""


def weight_limits(
    model: Model, input_scales: dict[str, float], *, per_channel: bool, safe: bool
) -> dict[str, FloatArray]:
    """Return which magnitude the largest integer stands for, for the weights of every convolution by name.

    Args:
        model: in float.
        input_scales: of every tensor that goes into a convolution, by name.
        per_channel: whether each output channel has a magnitude of its own.
        safe: use integers up to 63 instead of 127, so that pairs of products fit 16 bits.

    Returns:
        Arrays that broadcast against the weights.
    """
    limits: dict[str, FloatArray] = {}
    for kind, operator in operators(model):
        weight = constant(model, operator.inputs[1]) if kind in LAYERS else None
        if weight is None:
            continue
        axes = _input_axes(kind) if per_channel else tuple(range(weight.ndim))
        largest = np.abs(weight).max(axis=axes, keepdims=True)
        bias = constant(model, operator.inputs[2]) if operator.inputs[2] >= 0 else None
        if bias is not None:
            step = input_scales[tensor_name(model, operator.inputs[0])]
            least = np.abs(bias).astype(np.float64) / (step * _BIAS_LEVELS) * _LEVELS
            shape = largest.shape if per_channel else (-1,)
            least = least.reshape(shape)
            largest = np.maximum(largest, least if per_channel else least.max())
        if safe:
            largest = largest * (_LEVELS / _SAFE_LEVELS)
        name = tensor_name(model, operator.inputs[1])
        # Levels that share a layer's weights share its scales, too.
        limits[name] = np.maximum(limits.get(name, 0), largest).astype(np.float32)
    return limits


def correct_biases(
    model: Model, statistics: Statistics, limits: dict[str, FloatArray], float_layers: Collection[str]
) -> None:
    """Take off each bias what the rounding of the weights adds to the layer's mean output.

    That is the error of the weights times the mean of what comes in (Nagel et al. 2019, "Data-Free
    Quantization Through Weight Equalization and Bias Correction", section 4.2), of all levels that share the
    layer on average. Activations are rounded to the nearest, which adds nothing to a mean.

    Args:
        model: in float; changed.
        statistics: of its tensors.
        limits: of its weights.
        float_layers: names of layers whose weights are not rounded.
    """
    shifts: dict[int, list[NDArray[np.float64]]] = {}
    for kind, operator in operators(model):
        layer = layer_name(model, operator)
        if layer is None or layer in float_layers or operator.inputs[2] < 0:
            continue
        weight = constant(model, operator.inputs[1])
        assert weight is not None
        scale = limits[tensor_name(model, operator.inputs[1])] / np.float32(_LEVELS)
        error = np.rint(weight / scale).astype(np.float64) * scale - weight
        mean = statistics[tensor_name(model, operator.inputs[0])].mean
        # (out, kh, kw, in) and (1, kh, kw, channels) both end with the channels that the mean is of.
        shifts.setdefault(operator.inputs[2], []).append((error * mean).sum(axis=_input_axes(kind)).ravel())
    for index, each in shifts.items():
        bias = constant(model, index)
        assert bias is not None
        set_constant(model, index, (bias - np.mean(each, axis=0)).astype(np.float32))


def _input_axes(kind: str) -> tuple[int, ...]:
    """Return the axes of a weight over which one output channel reaches."""
    return (1, 2, 3) if kind == "CONV_2D" else (0, 1, 2)


def input_scale(span: tuple[float, float]) -> float:
    """Return the step of an 8-bit tensor over a range, which always holds zero."""
    return (max(span[1], 0.0) - min(span[0], 0.0)) / 255
