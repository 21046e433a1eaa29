"""What a quantized ONNX graph must look like for ONNX Runtime to compute it in integers.

ONNX Runtime makes one integer operator of a convolution between ``DequantizeLinear`` and ``QuantizeLinear``.
If one is missing, or if what comes in and what goes out are not integers of one kind, it computes in float.
NNCF rounds what convolutions take, signed or unsigned as each needs. So every result of a layer gets an
*end* before NNCF sees the graph, an output of its own, which is rounded, too; and all of it is made unsigned
afterwards.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from nncf.onnx.graph.passes import compress_quantize_weights_transformation
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from edgeblend.converters.onnx.biases import give_own_biases, store_biases
from edgeblend.converters.onnx.index import Index, index_of, remove_unused, replace_input
from edgeblend.converters.onnx.layers import (
    LAYER_TYPES,
    add_pair,
    alike,
    last_layers,
    layer_name,
    layers_of,
    rounding_before,
    weight_in_int8,
)

_END = "end of "
_VALUE = "/value"
_SCALINGS = ("Add", "Sub", "Mul", "Div")
_FUSED = ("Relu", "Clip")
"""What follows a layer and is one with it in integers."""


def with_ends(model: ModelProto, float_layers: Collection[str]) -> ModelProto:
    """Return a float graph for NNCF, in which all outputs and results of layers go to ends.

    Args:
        model: not changed.
        float_layers: whose results need none.
    """
    changed = shape_inference.infer_shapes(model)
    give_own_biases(changed)
    results = _results(changed, float_layers)
    outputs = [value.name for value in changed.graph.output]
    for name in outputs:
        _rename(changed, name, name + _VALUE)
        _add_end(changed, name + _VALUE, name)
    for name in results:
        if name not in outputs:
            _add_end(changed, name, _END + name)
            changed.graph.output.append(helper.make_empty_tensor_value_info(_END + name))
    return shape_inference.infer_shapes(changed)


def without_ends(quantized: ModelProto) -> ModelProto:
    """Return a graph as ONNX Runtime should get it, of what NNCF made of one :func:`with_ends`."""
    changed = ModelProto()
    changed.CopyFrom(quantized)
    compress_quantize_weights_transformation(changed)
    _make_unsigned(changed)
    _round_once(changed)
    for end in [node for node in changed.graph.node if node.name.startswith(_END)]:
        _remove_end(changed, end)
    remove_unused(changed)
    _round_moved(changed)
    store_biases(changed)
    remove_unused(changed)
    del changed.graph.value_info[:]
    for noted in (changed, changed.graph):
        noted.ClearField("metadata_props")
    return changed


def scalings(model: ModelProto) -> list[str]:
    """Return the names of nodes that scale or shift by constants, as norms do: integers gain nothing."""
    index = index_of(model)
    return [
        node.name
        for node in model.graph.node
        if node.op_type in _SCALINGS and not index.constants.keys().isdisjoint(node.input)
    ]


def _results(model: ModelProto, float_layers: Collection[str]) -> list[str]:
    """Return what layers give, behind what is one with them in integers."""
    index, found = index_of(model), []
    for layer, nodes in layers_of(model).items():
        if layer not in float_layers:
            for node in nodes:
                name = node.output[0]
                while len(takers := index.takers.get(name, [])) == 1 and takers[0].op_type in _FUSED:
                    name = takers[0].output[0]
                found.append(name)
    return found


def _add_end(model: ModelProto, value: str, name: str) -> None:
    model.graph.node.append(helper.make_node("Identity", [value], [name], name=_END + value))


def _make_unsigned(model: ModelProto) -> None:
    """Make all signed integers but weights unsigned: 128 is added to each, and to its zero point."""
    index = index_of(model)
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            zero_point = index.constants[node.input[2]]
            if zero_point.data_type == TensorProto.INT8:
                moved = (index.constant(zero_point.name).astype(np.int16) + 128).astype(np.uint8)
                zero_point.CopyFrom(numpy_helper.from_array(moved, zero_point.name))


def _round_once(model: ModelProto) -> None:
    """Let all that take a tensor rounded take one rounding: NNCF may have one for each of them."""
    index = index_of(model)
    for tensor, takers in index.takers.items():
        quantizers = [node for node in takers if node.op_type == "QuantizeLinear"]
        for other in quantizers[1:]:
            rounded, again = (index.takers[node.output[0]][0].output[0] for node in (quantizers[0], other))
            if alike(rounding_before(index, rounded), rounding_before(index, again)):
                for node in index.takers.get(again, []):
                    replace_input(node, again, rounded)
            else:
                replace_input(other, tensor, rounded)


def _round_moved(model: ModelProto) -> None:
    """Round what layers take once more where it was only moved since, which changes no value.

    NNCF rounds before a Concat or a Pad; ONNX Runtime wants to see it right before a convolution.
    """
    index = index_of(model)
    rounded: dict[str, str] = {}
    for node in [node for nodes in layers_of(model).values() for node in nodes]:
        moved, step = node.input[0], rounding_before(index, node.input[0])
        if step is None or not weight_in_int8(index, node):
            continue
        if index.makers[moved].op_type != "DequantizeLinear":
            if moved not in rounded:
                rounded[moved] = add_pair(model, moved, step, f"{moved} moved")
            replace_input(node, moved, rounded[moved])


def _remove_end(model: ModelProto, end: NodeProto) -> None:
    """Take an end out; what it was the end of takes its name if that is an output of the float graph."""
    index = index_of(model)
    value, name = end.input[0], end.output[0]
    model.graph.node.remove(end)
    dequantizer = index.makers[value]
    if dequantizer.op_type == "DequantizeLinear":
        exact = index.makers[dequantizer.input[0]].input[0]
        if _any_in_int8(index, value):
            # What takes the exact values, such as a group norm, would keep the layer in float.
            for node in index.takers[exact]:
                if node.op_type != "QuantizeLinear":
                    replace_input(node, exact, value)
        else:
            value = exact
    if not name.startswith(_END):
        _rename(model, value, name)
        return
    for output in [output for output in model.graph.output if output.name == name]:
        model.graph.output.remove(output)


def _any_in_int8(index: Index, tensor: str) -> bool:
    """Return whether any layer that gives a tensor has integers for weights."""
    names = last_layers(index, tensor)
    nodes = [node for node in index.makers.values() if node.op_type in LAYER_TYPES]
    return any(weight_in_int8(index, node) for node in nodes if layer_name(node.name) in names)


def _rename(model: ModelProto, old: str, new: str) -> None:
    """Give a tensor another name, wherever it is made or taken."""
    for node in model.graph.node:
        replace_input(node, old, new)
        for position, name in enumerate(node.output):
            if name == old:
                node.output[position] = new
