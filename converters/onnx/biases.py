"""Biases of an ONNX graph's layers: one for each node, and as integers in the end."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgeblend.converters.onnx.index import Array, Index, index_of
from edgeblend.converters.onnx.layers import (
    LAYER_TYPES,
    layers_of,
    rounding_before,
    weight_in_int8,
)

_LARGEST = 2**30
"""Of integers that biases are stored as: half of what 32 bits hold, so that products can be added."""


def give_own_biases(model: ModelProto) -> None:
    """Give every node a bias of its own: each level that shares a layer has another error to correct."""
    taken: set[str] = set()
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in LAYER_TYPES and len(node.input) == 3 and node.input[2] in constants:
            bias = node.input[2]
            if bias in taken:
                node.input[2] = f"{node.name}.own bias"
                own = numpy_helper.from_array(numpy_helper.to_array(constants[bias]), node.input[2])
                model.graph.initializer.append(own)
            taken.add(bias)


def store_biases(model: ModelProto) -> None:
    """Store biases of layers in INT8 as integers of 32 bits, counted in steps of the products.

    ONNX Runtime would do so itself, but the optimization that does also rounds the weights of layers that are
    to stay in float; :mod:`edgeblend.runtime.backends.onnxruntime` switches it off.
    """
    index = index_of(model)
    for nodes in layers_of(model).values():
        biased = [node for node in nodes if _has_plain_bias(index, node)]
        steps = [rounding_before(index, node.input[0]) for node in biased]
        inputs = [float(step[0]) for step in steps if step is not None]
        if not biased or len(inputs) < len(biased):
            continue
        biases = [index.constant(node.input[2]).astype(np.float64) for node in biased]
        weights = _with_room(
            index, biased[0], np.max([np.abs(b) / x for b, x in zip(biases, inputs, strict=True)], axis=0)
        )
        for node, bias, scale in zip(biased, biases, inputs, strict=True):
            products = (scale * weights).astype(np.float32)
            stored = np.rint(bias / products.astype(np.float64)).astype(np.int32)
            _add_constant(model, node, stored, np.broadcast_to(products, stored.shape))


def _has_plain_bias(index: Index, node: NodeProto) -> bool:
    return len(node.input) == 3 and node.input[2] in index.constants and weight_in_int8(index, node)


def _with_room(index: Index, node: NodeProto, biases: Array) -> Array:
    """Return a weight's scales, larger now where the biases, in steps of what comes in, do not fit 32 bits.

    Such a channel has almost no weights, as those that training has switched off.
    """
    dequantizer = index.makers[node.input[1]]
    stored, scale = index.constants[dequantizer.input[0]], index.constants[dequantizer.input[1]]
    before = index.constant(scale.name).astype(np.float64)
    needed = biases / _LARGEST
    after = np.maximum(before, needed if before.ndim and before.size > 1 else needed.max())
    if (after > before).any():
        ratio = np.broadcast_to(before / after, needed.shape).reshape(-1, *[1] * (len(stored.dims) - 1))
        values = np.rint(index.constant(stored.name) * ratio).astype(np.int8)
        stored.CopyFrom(numpy_helper.from_array(values, stored.name))
        scale.CopyFrom(numpy_helper.from_array(after.astype(np.float32), scale.name))
    return index.constant(scale.name)


def _add_constant(model: ModelProto, node: NodeProto, stored: Array, scale: Array) -> None:
    """Let a layer take its bias from integers."""
    names = [f"{node.name}.bias {what}" for what in ("stored", "scale", "zero point")]
    zero_points = np.zeros(stored.shape, np.int32)
    for name, value in zip(names, (stored, np.ascontiguousarray(scale), zero_points), strict=True):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    bias = f"{node.name}.bias"
    model.graph.node.insert(
        list(model.graph.node).index(node),
        helper.make_node("DequantizeLinear", names, [bias], name=bias, axis=0),
    )
    node.input[2] = bias
