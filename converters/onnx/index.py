"""An ONNX graph's nodes and constants by the names of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = NDArray[Any]
Value = TypeVar("Value", int, bytes)


@dataclass(frozen=True, slots=True)
class Index:
    """Who makes and who takes each tensor of a graph as it is now; another one is needed when it changes."""

    makers: dict[str, NodeProto]
    takers: dict[str, list[NodeProto]]
    constants: dict[str, TensorProto]

    def constant(self, name: str) -> Array:
        """Return the values of an initializer."""
        return np.asarray(numpy_helper.to_array(self.constants[name]))


def index_of(model: ModelProto) -> Index:
    """Return the index of a graph."""
    takers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            takers.setdefault(name, []).append(node)
    return Index(
        makers={name: node for node in model.graph.node for name in node.output},
        takers=takers,
        constants={tensor.name: tensor for tensor in model.graph.initializer},
    )


def attribute(node: NodeProto, name: str, default: Value) -> Value:
    """Return an attribute of a node, of the kind that its default has."""
    for found in node.attribute:
        if found.name == name:
            value = helper.get_attribute_value(found)
            return value if isinstance(value, type(default)) else default
    return default


def replace_input(node: NodeProto, old: str, new: str) -> None:
    """Let a node take another tensor wherever it took one."""
    for position, name in enumerate(node.input):
        if name == old:
            node.input[position] = new


def remove_unused(model: ModelProto) -> None:
    """Take out nodes that nothing comes of, and constants that nobody takes."""
    wanted = {value.name for value in model.graph.output}
    kept: list[NodeProto] = []
    for node in reversed(model.graph.node):  # every node stands behind those that it takes from
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    nodes = list(reversed(kept))
    constants = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
