"""What graphs take and give, and what the runtime computes with: the one place where they become each other.

A session speaks in *physical* tensors: named, laid out and stored as the manifest's
:class:`~edgeblend.manifest.TensorSpec` says. The runtime computes with float32 (C, h, w).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeblend.manifest import GraphSpec, TensorQuantization, TensorSpec
from edgeblend.runtime.backends.base import Array

FloatArray = NDArray[np.float32]

_BYTES_AS_INT8 = TensorQuantization(scale=1.0, zero_point=-128)


def detector_inputs(detector: GraphSpec, canvas: NDArray[np.uint8]) -> dict[str, Array]:
    """Return what the detector graph takes, by name.

    Args:
        detector: the graph.
        canvas: (1, H, W, 3) uint8 BGR, as :func:`edgeblend.runtime.preprocess.preprocess` makes it.
    """
    spec = detector.inputs[0]
    if spec.dtype == "uint8":
        return {spec.name: canvas}
    if spec.quantization == _BYTES_AS_INT8:
        # Taking 128 away from a byte is turning its highest bit.
        return {spec.name: np.bitwise_xor(canvas, 0x80).view(np.int8)}
    return {spec.name: stored(spec, canvas.transpose(0, 3, 1, 2))}


def outputs_by_role(
    graph: GraphSpec, outputs: Mapping[str, Array]
) -> dict[tuple[str, str | None], FloatArray]:
    """Return a graph's outputs as (C, h, w) float32 by role and level, whatever their layout and type.

    Those in float32 are views.
    """
    return {(spec.role, spec.level): values(spec, outputs[spec.name])[0] for spec in graph.outputs}


def basis_inputs(detector: GraphSpec, basis: GraphSpec, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return what the basis graph takes, by name.

    Where both graphs store a tensor alike, it is the detector's own output array, not copied: an engine can
    read it where it lies.

    Args:
        detector: the graph that gave the outputs.
        basis: the graph that takes them.
        outputs: of the detector, by name.
    """
    given = {spec.level: spec for spec in detector.outputs if spec.role == "pyramid"}
    inputs: dict[str, Array] = {}
    for wanted in basis.inputs:
        spec = given[wanted.level]
        array = outputs[spec.name]
        inputs[wanted.name] = array if _alike(spec, wanted) else stored(wanted, values(spec, array))
    return inputs


def values(spec: TensorSpec, array: Array) -> FloatArray:
    """Return a physical tensor as (N, C, h, w) float32: a view if it is stored as float32.

    Integers mean scale * (stored - zero point) (Jacob et al. 2018, "Quantization and Training of Neural
    Networks for Efficient Integer-Arithmetic-Only Inference", eq. 1).
    """
    if spec.quantization is not None:
        # Exact: 8-bit integers less their zero point have 9 bits, float32 holds 24.
        array = np.subtract(array, spec.quantization.zero_point, dtype=np.float32)
        array *= np.float32(spec.quantization.scale)
    elif array.dtype != np.float32:
        array = array.astype(np.float32)
    return array.transpose(0, 3, 1, 2) if spec.layout == "NHWC" else array


def stored(spec: TensorSpec, array: NDArray[Any]) -> Array:
    """Return (N, C, h, w) values as a physical tensor, contiguous.

    Integers are the nearest that it can hold, of two the even one.
    """
    if spec.layout == "NHWC":
        array = array.transpose(0, 2, 3, 1)
    if spec.quantization is None:
        return np.ascontiguousarray(array, spec.dtype)
    limits = np.iinfo(spec.dtype)
    levels = np.divide(array, np.float32(spec.quantization.scale), dtype=np.float32, order="C")
    np.rint(levels, out=levels)
    levels += spec.quantization.zero_point
    np.clip(levels, limits.min, limits.max, out=levels)
    return np.asarray(levels, spec.dtype)


def _alike(one: TensorSpec, other: TensorSpec) -> bool:
    return (one.layout, one.dtype, one.quantization) == (other.layout, other.dtype, other.quantization)
