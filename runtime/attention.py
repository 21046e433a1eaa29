"""The attention of each detection: gathered from features, or read from dense maps.

The attention layer is a 3x3 convolution to K*M*M channels at every location, of which at most a
hundred are read. Gathering one patch per detection and multiplying once gives the same numbers and takes
14 of 73 GMAC out of the detector graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeblend.errors import BundleError, InputError
from edgeblend.files.junk import listed_names
from edgeblend.runtime.decode import Detections
from edgeblend.spec import BlendSpec

_BLOCK = 32
_PIECE = 256
_ROWS = 32
"""Outputs, inputs and patches of one matrix product: below the 2**18 multiplications from which OpenBLAS
wakes its threads. Those wait for cores that an engine holds: with two busy cores, 100 patches took 80 ms in
one product and 4 ms in small ones; on one free core both take 4 ms. Small and compact: products of
16 x 2304 x 6 took 2.3 times as long as these, which take no longer than one product on one thread."""


_UNREADABLE = (OSError, LookupError, TypeError, ValueError, AttributeError)
"""What safetensors raises besides its own; one of the last, by version, for a type that NumPy has not."""


@dataclass(frozen=True, slots=True, eq=False)
class AttentionLayer:
    """A 3x3 convolution as the matrix that multiplies flattened patches."""

    weight: NDArray[np.float32]
    """(9 * C, K * M * M), rows ordered (kernel row, kernel column, channel)."""
    bias: NDArray[np.float32]
    """(K * M * M,)."""
    blocks: NDArray[np.float32] = field(init=False, repr=False)
    """(B, 9 * C, 32): the weight's columns in blocks that are contiguous, the last filled up with zeros."""

    def __post_init__(self) -> None:
        weight, bias = self.weight, self.bias
        fits = weight.ndim == 2 and weight.shape[0] % 9 == 0 < weight.size and bias.shape == weight.shape[1:]
        if not fits or weight.dtype != np.float32 or bias.dtype != np.float32:
            raise InputError(
                "expected float32 attention weight (9 * C, K * M * M) and bias (K * M * M,), "
                f"got {weight.dtype} {weight.shape} and {bias.dtype} {bias.shape}"
            )
        filled = np.pad(weight, ((0, 0), (0, -weight.shape[1] % _BLOCK)))
        blocks = np.ascontiguousarray(filled.reshape(len(weight), -1, _BLOCK).transpose(1, 0, 2))
        object.__setattr__(self, "blocks", blocks)


def load_attention(path: Path, spec: BlendSpec | None = None) -> AttentionLayer:
    """Read a bundle's attention layer.

    Args:
        path: a safetensors file with ``weight`` (9 * C, K * M * M) and ``bias`` (K * M * M), float32.
        spec: the K and M that it is for; None: any.

    Raises:
        BundleError: the file is not one with these two, they hold NaN or infinity, or are for another K or M.
    """
    import safetensors
    import safetensors.numpy

    try:
        tensors = safetensors.numpy.load_file(path)
        if others := sorted(tensors.keys() - {"weight", "bias"}):
            raise InputError(f"it also holds {listed_names(others)}")
        layer = AttentionLayer(weight=tensors["weight"], bias=tensors["bias"])
        _check_layer(layer, spec)
    # A type that NumPy has not is a TypeError or an AttributeError, by version of safetensors.
    except (
        OSError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        InputError,
        safetensors.SafetensorError,
    ) as error:
        raise _no_attention(path, error) from error
    return layer


def attention_shape(path: Path) -> tuple[int, int]:
    """Return the (9 * C, K * M * M) of a bundle's attention layer without reading its numbers.

    Raises:
        BundleError: as :func:`load_attention`.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            rows, columns = file.get_slice("weight").get_shape()
            return int(rows), int(columns)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise _no_attention(path, error) from error


def _no_attention(path: Path, error: Exception) -> BundleError:
    reason = " ".join(str(error).split())
    return BundleError(
        f"{path}: expected an attention layer of weight and bias ({reason}); convert the checkpoint again"
    )


def _check_layer(layer: AttentionLayer, spec: BlendSpec | None) -> None:
    outputs = len(layer.bias) if spec is None else spec.num_bases * spec.attention_size**2
    if layer.bias.shape != (outputs,):
        raise InputError(f"expected {outputs} outputs (K * M * M), got {len(layer.bias)}")
    if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
        raise InputError("it holds NaN or infinity")


def gather_attention(
    features: Sequence[NDArray[np.float32]],
    detections: Detections,
    layer: AttentionLayer,
    spec: BlendSpec,
) -> NDArray[np.float32]:
    """Apply the attention layer at the detections' cells alone.

    Args:
        features: (C, h, w) per level, the input of the attention layer.
        detections: N detections.
        layer: its weights.
        spec: gives K and M.

    Returns:
        (N, K, M, M) float32.

    Raises:
        BundleError: the layer and the features do not fit each other.
    """
    channels = features[0].shape[0]
    outputs = spec.num_bases * spec.attention_size**2
    if layer.weight.shape != (9 * channels, outputs):
        raise BundleError(
            f"expected attention weight {(9 * channels, outputs)}, got {layer.weight.shape}; convert the "
            "checkpoint again"
        )
    steps, rows = _grouping(len(detections))
    patches = np.zeros((steps * rows, 9 * channels), np.float32)
    for index, feature in enumerate(features):
        here = np.flatnonzero(detections.levels == index)
        if here.size:
            patches[here] = _patches(feature, detections.cells[here])
    products = _multiply(patches.reshape(steps, rows, 9 * channels), layer.blocks)
    filled = products.transpose(1, 2, 0, 3).reshape(steps * rows, len(layer.blocks) * _BLOCK)
    return _as_maps(filled[: len(detections), :outputs] + layer.bias, spec)


def read_attention(
    maps: Sequence[NDArray[np.float32]], detections: Detections, spec: BlendSpec
) -> NDArray[np.float32]:
    """Read the attention of each detection from maps that were computed at every location.

    Args:
        maps: (K * M * M, h, w) per level.
        detections: N detections.
        spec: gives K and M.

    Returns:
        (N, K, M, M) float32.

    Raises:
        BundleError: the maps do not have K * M * M channels.
    """
    channels, outputs = maps[0].shape[0], spec.num_bases * spec.attention_size**2
    if channels != outputs:
        raise BundleError(
            f"expected attention of {outputs} channels, got {channels}; convert the checkpoint again"
        )
    attention = np.empty((len(detections), outputs), np.float32)
    for index, level_map in enumerate(maps):
        here = np.flatnonzero(detections.levels == index)
        rows, columns = detections.cells[here].T
        attention[here] = level_map[:, rows, columns].T
    return _as_maps(attention, spec)


def _multiply(patches: NDArray[np.float32], blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply (steps, rows, 9 * C) with (B, 9 * C, 32) to (B, steps, rows, 32), piece by piece of 9 * C.

    A piece of a block stays in cache while all patches pass.
    """
    products = np.zeros((len(blocks), *patches.shape[:2], blocks.shape[2]), np.float32)
    part = np.empty_like(products)
    for start in range(0, patches.shape[2], _PIECE):
        piece = slice(start, start + _PIECE)
        np.matmul(patches[..., piece], blocks[:, None, piece], out=part)
        products += part
    return products


def _grouping(count: int) -> tuple[int, int]:
    """Return the number of groups and of rows per group that hold so many patches."""
    steps = -(-count // _ROWS)
    # At least two rows: a single one is a matrix-vector product, which wakes threads sooner.
    return steps, max(-(-count // max(steps, 1)), 2)


def _patches(feature: NDArray[np.float32], cells: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return 3x3 patches around cells (n, 2), zero outside: (n, 9 * C), ordered (row, column, channel)."""
    around = cells[:, :, None] + np.array([-1, 0, 1])  # (n, 2, 3)
    limits = np.array(feature.shape[1:])[:, None] - 1
    inside = (around >= 0) & (around <= limits)
    rows, columns = np.clip(around, 0, limits).transpose(1, 0, 2)
    patches = feature.transpose(1, 2, 0)[rows[:, :, None], columns[:, None, :]]  # (n, 3, 3, C)
    patches[~(inside[:, 0, :, None] & inside[:, 1, None, :])] = 0
    return np.ascontiguousarray(patches, np.float32).reshape(len(cells), -1)


def _as_maps(attention: NDArray[np.float32], spec: BlendSpec) -> NDArray[np.float32]:
    # (K, M, M) is also the order of the layer's output channels.
    return attention.reshape(-1, spec.num_bases, spec.attention_size, spec.attention_size)
