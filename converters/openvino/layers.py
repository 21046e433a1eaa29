"""The layers of an OpenVINO graph that can be quantized, by the names that the checkpoint has for them."""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np
import openvino as ov
import openvino.opset15 as ops

from edgeblend.manifest import GraphSpec
from edgeblend.recipe import Recipe

LAYER_TYPES = ("Convolution", "GroupConvolution", "MatMul")
_MOVES = ("Reshape", "Transpose", "Pad", "Interpolate", "MaxPool", "Concat", "Squeeze", "Unsqueeze")
_PREFIX, _SUFFIX = "__module.network.", "/aten::"

Layers = dict[str, tuple[ov.Node, ...]]
"""A layer's nodes: one, or one a pyramid level where levels share its weights."""


def layers_of(model: ov.Model) -> Layers:
    """Return the layers of a graph in the order in which they run."""
    found: dict[str, list[ov.Node]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() in LAYER_TYPES:
            found.setdefault(layer_name(node.get_friendly_name()), []).append(node)
    return {name: tuple(nodes) for name, nodes in found.items()}


def layer_name(node_name: str) -> str:
    """Return the checkpoint's name for what the graph calls ``__module.network.<name>/aten::...``."""
    return node_name.removeprefix(_PREFIX).partition(_SUFFIX)[0]


def float_layers(model: ov.Model, graph: GraphSpec, recipe: Recipe) -> tuple[str, ...]:
    """Return which layers of a graph a recipe keeps in float, in the order in which they run."""
    layers = layers_of(model)
    kept = {name for name in layers if any(fnmatchcase(name, pattern) for pattern in recipe.float_layers)}
    roles = {spec.name: spec.role for spec in graph.outputs}
    for port in model.outputs:
        if any(roles.get(name) in recipe.float_roles for name in port.get_names()):
            kept |= _last_layers(port.get_node().input_value(0).get_node())
    return tuple(name for name in layers if name in kept)


def layers_in_int8(model: ov.Model) -> tuple[str, ...]:
    """Return the layers whose weights a graph holds as integers, in the order in which they run."""
    found = {
        name: [_weights_are_quantized(node.input_value(1).get_node()) for node in nodes]
        for name, nodes in layers_of(model).items()
    }
    return tuple(name for name, quantized in found.items() if all(quantized))


def with_switches(model: ov.Model, fake: ov.Model) -> ov.Model:
    """Return a float graph whose layers are rounded as in INT8 one by one, as its further inputs say.

    Each layer has an input of its own, float32 (1,), called :func:`switch_name`: with 0 it computes in float,
    with 1 its weights and what comes into it are rounded. One graph for all layers, because compiling one for
    each takes longer than running it.

    Args:
        model: in float; not changed.
        fake: the same graph, with all layers behind ``FakeQuantize``.
    """
    changed = model.clone()
    twins = layers_of(fake)
    switches = []
    for layer, nodes in layers_of(changed).items():
        switch = ops.parameter([1], np.float32, name=switch_name(layer))
        switch.output(0).get_tensor().set_names({switch_name(layer)})
        switches.append(switch)
        rounded = {node.get_friendly_name(): node for node in twins[layer]}
        for node in nodes:
            twin = rounded[node.get_friendly_name()]
            for port in range(2):  # what comes in, and the weights
                quantizer = _quantizer_before(twin.input_value(port).get_node())
                if quantizer is not None:
                    value = _rounded_by(node.input_value(port), quantizer, switch)
                    node.input(port).replace_source_output(value)
    changed.add_parameters(switches)
    changed.validate_nodes_and_infer_types()
    return changed


def switch_name(layer: str) -> str:
    """Return what the input is called that rounds a layer."""
    return f"round {layer}"


def _rounded_by(value: ov.Output, quantizer: ov.Node, switch: ov.Node) -> ov.Output:
    """Return ``value + switch * (rounded value - value)``."""
    limits = [ops.constant(quantizer.input_value(port).get_node().data) for port in range(1, 5)]
    rounded = ops.fake_quantize(value, *limits, int(quantizer.get_attributes()["levels"]))
    return ops.add(value, ops.multiply(ops.subtract(rounded, value), switch)).output(0)


def _quantizer_before(node: ov.Node) -> ov.Node | None:
    """Return the ``FakeQuantize`` that a value comes from, through what only moves or copies values."""
    if node.get_type_name() == "FakeQuantize":
        return node
    if node.get_type_name() in _MOVES:
        return _quantizer_before(node.input_value(0).get_node())
    return None


def _weights_are_quantized(node: ov.Node) -> bool:
    """Return whether a weight is a constant of integers, or rounded to their steps, behind its scales."""
    kind = node.get_type_name()
    if kind == "Constant":
        return node.get_element_type() in (ov.Type.i8, ov.Type.u8)
    if kind == "FakeQuantize":
        return True
    return node.get_input_size() > 0 and _weights_are_quantized(node.input_value(0).get_node())


def _last_layers(node: ov.Node) -> set[str]:
    """Return the layers that a node's value comes from directly."""
    if node.get_type_name() in LAYER_TYPES:
        return {layer_name(node.get_friendly_name())}
    found: set[str] = set()
    for value in node.input_values():
        found |= _last_layers(value.get_node())
    return found
