"""Small ONNX graphs for tests, called as an export calls their layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference

TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}


class GraphBuilder:
    """Adds nodes one after the other; every method returns the name of what its node gives."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self.nodes: list[object] = []
        self.constants: dict[str, NDArray] = {}

    def node(self, kind: str, *inputs: str, name: str = "", **attributes: object) -> str:
        output = f"{name or kind}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name or output, **attributes))
        return output

    def constant(self, value: object, name: str = "") -> str:
        name = name or f"constant.{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def layer(
        self, name: str, x: str, weight: NDArray | Sequence, bias: Sequence | None = None, *, copy: str = ""
    ) -> str:
        """A convolution with a (O, I, k, k) weight, of stride 1, padded; or a level's copy of one."""
        weight = np.asarray(weight, np.float32)
        inputs = [x, self.constant(weight, f"network.{name}.weight")]
        if bias is not None:
            inputs.append(self.constant(np.asarray(bias, np.float32), f"network.{name}.bias"))
        return self.node("Conv", *inputs, name=name + copy, pads=[weight.shape[-1] // 2] * 4)

    def random_layer(
        self, name: str, x: str, inputs: int, outputs: int, *, size: int = 3, copy: str = ""
    ) -> str:
        """A layer with weights and biases of its own, the same for all copies."""
        if f"network.{name}.weight" in self.constants:
            weight = self.constants[f"network.{name}.weight"]
            return self.layer(name, x, weight, self.constants[f"network.{name}.bias"], copy=copy)
        weight = self._random.normal(size=(outputs, inputs, size, size)) * 1.4 / np.sqrt(inputs * size**2)
        return self.layer(name, x, weight, self._random.normal(size=outputs) * 0.2, copy=copy)

    def rounded(self, x: str, scale: float, zero_point: int = 0, *, kind: type = np.uint8) -> str:
        """A tensor rounded to integers and back."""
        steps = self.constant(np.float32(scale)), self.constant(kind(zero_point))
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *steps), *steps)

    def build(
        self, inputs: Mapping[str, tuple[str, Sequence[int | str]]], outputs: Mapping[str, str]
    ) -> ModelProto:
        """The graph; ``outputs`` is name to what a node gives."""
        renamed = {old: new for new, old in outputs.items()}
        for node in self.nodes:
            for names in (node.input, node.output):
                for position, name in enumerate(names):
                    names[position] = renamed.get(name, name)
        graph = helper.make_graph(
            self.nodes,
            "test",
            [
                helper.make_tensor_value_info(name, TYPES[kind], shape)
                for name, (kind, shape) in inputs.items()
            ],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
        made = shape_inference.infer_shapes(model)  # the outputs' shapes
        del made.graph.value_info[:]
        return made


def operators(model: ModelProto) -> list[str]:
    """The types of a graph's nodes, in order."""
    return [node.op_type for node in model.graph.node]


def names_of(values: Iterable[object]) -> list[str]:
    return [value.name for value in values]


def run(model: ModelProto, **inputs: object) -> dict[str, NDArray]:
    """What ONNX's own reference implementation makes of float32 inputs."""
    from onnx.reference import ReferenceEvaluator

    given = {name: np.asarray(value, np.float32) for name, value in inputs.items()}
    found = ReferenceEvaluator(model).run(None, given)
    return dict(zip(names_of(model.graph.output), found, strict=True))


def tower(size: tuple[int, int] = (12, 16)) -> ModelProto:
    """(1, 4, h, w) ``p3`` to ``bases``: five layers, with a residual addition and a group norm between."""
    build = GraphBuilder(3)
    first = build.node("Relu", build.random_layer("tower.0", "p3", 4, 8))
    inner = build.node("Relu", build.random_layer("tower.1", first, 8, 8))
    second = build.node("Add", first, build.random_layer("tower.2", inner, 8, 8))
    normed = build.random_layer("tower.3", second, 8, 8)
    groups = build.node("Reshape", normed, build.constant(np.array([0, 2, -1])))
    groups = build.node(
        "InstanceNormalization",
        groups,
        build.constant(np.ones(2, np.float32)),
        build.constant(np.zeros(2, np.float32)),
    )
    back = build.node("Reshape", groups, build.constant(np.array([1, 8, *size])))
    scaled = build.node(
        "Mul", back, build.constant(np.linspace(0.5, 2, 8, dtype=np.float32).reshape(1, 8, 1, 1))
    )
    last = build.random_layer("tower.4", build.node("Relu", scaled), 8, 4, size=1)
    return build.build({"p3": ("float32", (1, 4, *size))}, {"bases": last})
