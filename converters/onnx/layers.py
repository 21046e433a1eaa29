"""The layers of an ONNX graph that can be quantized, by the names that the checkpoint has for them."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeblend.converters.onnx.index import Index, attribute, index_of, replace_input
from edgeblend.manifest import GraphSpec
from edgeblend.recipe import Recipe

LAYER_TYPES = ("Conv", "Gemm", "MatMul")
_MOVES = ("Reshape", "Transpose", "Pad", "Resize", "MaxPool", "Squeeze", "Unsqueeze", "Identity")

Layers = dict[str, tuple[NodeProto, ...]]
"""A layer's nodes: one, or one a pyramid level where levels share its weights."""

Step = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Scale and zero point of a tensor's integers."""


def layers_of(model: ModelProto) -> Layers:
    """Return the layers of a graph in the order in which they run."""
    found: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        if node.op_type in LAYER_TYPES:
            found.setdefault(layer_name(node.name), []).append(node)
    return {name: tuple(nodes) for name, nodes in found.items()}


def layer_name(node_name: str) -> str:
    """Return the checkpoint's name for what the graph calls ``<name>``, ``<name>/1``, ... for each level."""
    return node_name.partition("/")[0]


def float_layers(model: ModelProto, graph: GraphSpec, recipe: Recipe) -> tuple[str, ...]:
    """Return which layers of a graph a recipe keeps in float, in the order in which they run."""
    layers, index = layers_of(model), index_of(model)
    kept = {name for name in layers if any(fnmatchcase(name, pattern) for pattern in recipe.float_layers)}
    for spec in graph.outputs:
        if spec.role in recipe.float_roles:
            kept |= last_layers(index, spec.name)
    return tuple(name for name in layers if name in kept)


def layers_in_int8(model: ModelProto) -> tuple[str, ...]:
    """Return the layers whose weights a graph holds as integers, in the order in which they run."""
    index = index_of(model)
    return tuple(
        name for name, nodes in layers_of(model).items() if all(weight_in_int8(index, node) for node in nodes)
    )


def last_layers(index: Index, tensor: str) -> set[str]:
    """Return the layers that a tensor comes from directly."""
    maker = index.makers.get(tensor)
    if maker is None:
        return set()
    if maker.op_type in LAYER_TYPES:
        return {layer_name(maker.name)}
    found: set[str] = set()
    for name in maker.input:
        found |= last_layers(index, name)
    return found


def weight_in_int8(index: Index, node: NodeProto) -> bool:
    """Return whether a layer's weight is a constant of integers behind its scales."""
    maker = index.makers.get(node.input[1])
    if maker is None or maker.op_type != "DequantizeLinear" or maker.input[0] not in index.constants:
        return False
    return index.constants[maker.input[0]].data_type in (TensorProto.INT8, TensorProto.UINT8)


def rounding_before(index: Index, tensor: str) -> Step | None:
    """Return the steps that a tensor was rounded to, through what only moves or copies values."""
    maker = index.makers.get(tensor)
    if maker is None:
        return None
    if maker.op_type == "DequantizeLinear":
        return index.constant(maker.input[1]), index.constant(maker.input[2])
    if maker.op_type == "Concat":
        steps = [rounding_before(index, name) for name in maker.input]
        return steps[0] if all(alike(steps[0], step) for step in steps) else None
    if maker.op_type in _MOVES and attribute(maker, "mode", b"nearest") != b"linear":
        return rounding_before(index, maker.input[0])
    return None


def alike(one: Step | None, other: Step | None) -> bool:
    """Return whether two tensors have the same steps."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


@dataclass(frozen=True, slots=True)
class Rounding:
    """What quantization does to one node of a layer."""

    weight: NDArray[np.float32]
    """Rounded to its steps."""
    before: Step | None
    """Of what comes in; None: it comes as it is."""
    after: Step | None
    """Of the tensor ``after_tensor``, which the float graph has, too."""
    after_tensor: str


def roundings(quantized: ModelProto) -> dict[str, Rounding]:
    """Return what a quantized graph does to each node of its layers, by the node's name.

    A layer rounds what comes into it, and what comes out if others than layers take it: what layers take is
    rounded on their account.
    """
    index = index_of(quantized)
    outputs = {value.name for value in quantized.graph.output}
    found = {}
    for nodes in layers_of(quantized).values():
        for node in nodes:
            if weight_in_int8(index, node):
                dequantizer = index.makers[node.input[1]]
                after, tensor = _rounding_after(index, node.output[0], outputs)
                found[node.name] = Rounding(
                    weight=_dequantized(index, dequantizer),
                    before=rounding_before(index, node.input[0]),
                    after=after,
                    after_tensor=tensor,
                )
    return found


def with_rounded(model: ModelProto, layer: str, rounding: dict[str, Rounding]) -> ModelProto:
    """Return a float graph with one layer rounded as in INT8; it computes in float.

    Args:
        model: not changed.
        layer: its name.
        rounding: what :func:`roundings` says.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    for node in layers_of(changed)[layer]:
        found = rounding.get(node.name)
        if found is None:
            continue
        weight = f"{node.name}.rounded"
        changed.graph.initializer.append(numpy_helper.from_array(found.weight, weight))
        node.input[1] = weight
        if found.before is not None:
            replace_input(node, node.input[0], add_pair(changed, node.input[0], found.before, node.name))
        if found.after is not None:
            _round_output(changed, found.after_tensor, found.after, node.name)
    return changed


def add_pair(model: ModelProto, tensor: str, step: Step, name: str, *, output: str | None = None) -> str:
    """Add nodes that round a tensor, behind the node that makes it; return the rounded one's name."""
    scale, zero = f"{name} scale", f"{name} zero point"
    model.graph.initializer.append(numpy_helper.from_array(step[0], scale))
    model.graph.initializer.append(numpy_helper.from_array(step[1], zero))
    stored, rounded = f"{name} stored", output or f"{name} rounded"
    pair = (
        helper.make_node("QuantizeLinear", [tensor, scale, zero], [stored], name=f"{name} quantize"),
        helper.make_node("DequantizeLinear", [stored, scale, zero], [rounded], name=f"{name} dequantize"),
    )
    place = next(
        (place + 1 for place, node in enumerate(model.graph.node) if tensor in node.output), 0
    )  # what the graph takes has no maker
    for offset, node in enumerate(pair):
        model.graph.node.insert(place + offset, node)
    return rounded


def _round_output(model: ModelProto, tensor: str, step: Step, name: str) -> None:
    """Round a tensor for all but layers that take it, and for the graph's output if it is one."""
    index, exact = index_of(model), f"{tensor}.exact"
    maker = index.makers[tensor]
    maker.output[list(maker.output).index(tensor)] = exact
    for node in index.takers.get(tensor, []):
        if node.op_type in LAYER_TYPES:
            replace_input(node, tensor, exact)
    add_pair(model, exact, step, f"{name} output", output=tensor)


def _rounding_after(index: Index, tensor: str, outputs: set[str]) -> tuple[Step | None, str]:
    """Return the steps that a layer's result is rounded to for others than layers, and its tensor."""
    while len(takers := index.takers.get(tensor, [])) == 1 and takers[0].op_type in ("Relu", "Clip"):
        tensor = takers[0].output[0]
    for quantizer in index.takers.get(tensor, []):
        if quantizer.op_type == "QuantizeLinear":
            (dequantizer,) = index.takers[quantizer.output[0]]
            rounded = dequantizer.output[0]
            others = [node for node in index.takers.get(rounded, []) if node.op_type not in LAYER_TYPES]
            if rounded in outputs or others:
                step = index.constant(quantizer.input[1]), index.constant(quantizer.input[2])
                return step, rounded if rounded in outputs else tensor
    return None, tensor


def _dequantized(index: Index, node: NodeProto) -> NDArray[np.float32]:
    """Return what a ``DequantizeLinear`` of a constant gives."""
    values = index.constant(node.input[0]).astype(np.float32)
    scale, zero = index.constant(node.input[1]), index.constant(node.input[2]).astype(np.float32)
    if scale.ndim == 1 and scale.size > 1:
        shape = [1] * values.ndim
        shape[attribute(node, "axis", 1)] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return np.asarray((values - zero) * scale, np.float32)
