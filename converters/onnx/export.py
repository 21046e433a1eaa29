"""Split graphs to ONNX, in the standard's own operators."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxscript
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from edgeblend.converters.opened import ExportedGraph
from edgeblend.converters.process_state import logging_at, without_warnings_of
from edgeblend.converters.split import Shape, SplitGraph
from edgeblend.converters.third_party import one_line, third_party
from edgeblend.errors import ConversionError
from edgeblend.manifest import GraphPrecision
from edgeblend.model.backbones.deform_conv import ModulatedDeformConv2d
from edgeblend.model.blendmask import SIZE_DIVISOR
from edgeblend.model.config import ModelConfig
from edgeblend.processes.one_at_a_time import one_at_a_time

FORMAT = "onnx"
PRECISIONS: tuple[GraphPrecision, ...] = ("fp32", "fp16")
DYNAMIC = True

OPSET = 19
"""The first with deformable convolutions, which networks without them could do without: one for all."""

_PREFIX = "network."
_WEIGHT = ".weight"
_WEIGHTED = ("Conv", "DeformConv", "Gemm", "MatMul")


def refusal(config: ModelConfig) -> None:
    """Refuse nothing: ONNX has all that the networks need."""
    del config


def export_graph(
    graph: SplitGraph,
    folder: Path,
    *,
    example: tuple[Tensor, ...],
    shapes: tuple[Shape, ...],
    precision: GraphPrecision,
) -> ExportedGraph:
    """Write a graph as ONNX.

    Args:
        graph: what to export.
        folder: where the file goes; it is named after the graph's part.
        example: inputs of any size, for their types; sides that stay open take their sizes while tracing.
        shapes: the shape of each input of the written graph; None leaves a side open.
        precision: how weights are stored; as float16 they become float32 when the graph is opened.

    Returns:
        One ``.onnx`` file.

    Raises:
        ConversionError: torch cannot export the graph, or what it exported is not valid ONNX.
    """
    with one_at_a_time():
        model = _export(graph, example, shapes)
    _keep_essentials(model, graph)
    _name_layers(model)
    _use_scalars(model)
    if precision == "fp16":
        store_half(model)
    path = folder / f"{graph.part}.onnx"
    write_model(model, path)
    return ExportedGraph((path,), graph.inputs, graph.outputs)


def tool_versions() -> dict[str, str]:
    """Return the versions of what exports."""
    return {
        "onnx": onnx.__version__,
        "onnxscript": str(onnxscript.__version__),
        "torch": str(torch.__version__),
    }


def write_model(model: ModelProto, path: Path) -> None:
    """Write a graph that is valid by the standard, shapes included; equal graphs as equal files.

    Raises:
        ConversionError: it is not valid.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConversionError(f"{path.name} would not be valid ONNX: {reason}") from error
    path.write_bytes(model.SerializeToString(deterministic=True))


def store_half(model: ModelProto) -> None:
    """Store the weights of a graph's layers as float16; a Cast beside each makes float32 of them again.

    Engines do that once, when the graph is opened; inputs, outputs and arithmetic stay float32.
    """
    names = {node.input[1] for node in model.graph.node if node.op_type in _WEIGHTED}
    casts = []
    for tensor in model.graph.initializer:
        if tensor.name in names and tensor.data_type == TensorProto.FLOAT:
            name, half = tensor.name, f"{tensor.name}.half"
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [name], name=f"{name}.float", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _export(graph: SplitGraph, example: tuple[Tensor, ...], shapes: tuple[Shape, ...]) -> ModelProto:
    module = _with_standard_operators(graph.module)
    inputs = tuple(
        torch.zeros(
            [size if side is None else side for side, size in zip(shape, given.shape, strict=True)],
            dtype=given.dtype,
        )
        for shape, given in zip(shapes, example, strict=True)
    )
    names = tuple(spec.name for spec in graph.inputs), tuple(spec.name for spec in graph.outputs)
    if not any(None in shape for shape in shapes):
        return _trace(graph.part, module, inputs, names, None)
    if graph.part == "detector":
        return _export_open_detector(module, inputs[0], *names)
    sides = tuple({axis: Dim.DYNAMIC for axis, side in enumerate(s) if side is None} for s in shapes)
    return _trace(graph.part, module, inputs, names, (sides,))  # its *features are one parameter


def _export_open_detector(
    detector: nn.Module, image: Tensor, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> ModelProto:
    """Trace normalisation, which pads, and all that follows each on its own, and join them.

    To what follows, sides are multiples of 32. In one piece they are formulas of remainders, on which tracing
    takes twice as long and gives up for networks with deformable convolutions (torch 2.13).
    """
    after = copy.deepcopy(detector)
    network: Any = after.network
    normalize = network.normalize
    network.normalize = _as_it_is
    stride, between = SIZE_DIVISOR, ("normalized",)
    first = _trace(
        "detector", _Call(normalize), (image,), (inputs, between), ({1: Dim.DYNAMIC, 2: Dim.DYNAMIC},)
    )
    second = _trace(
        "detector",
        after,
        (normalize(image),),
        (between, outputs),
        ({2: stride * Dim("rows"), 3: stride * Dim("columns")},),
    )
    first = onnx.compose.add_prefix(first, "normalize/", rename_inputs=False, rename_outputs=False)
    joined = onnx.compose.merge_models(first, second, io_map=[(*between, *between)])
    second.graph.CopyFrom(joined.graph)  # with its own heading: the joined one has each opset twice
    return second


def _trace(
    part: str,
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: tuple[tuple[str, ...], tuple[str, ...]],
    sides: Any,  # noqa: ANN401 - torch has no type for it
) -> ModelProto:
    with third_party(f"torch cannot export the {part} graph as ONNX", _root_cause), _quiet():
        program = torch.onnx.export(
            module.eval(),  # what it holds is already; the graph's own module is new
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=names[0],
            output_names=names[1],
            dynamic_shapes=sides,
            verbose=False,
        )
    assert program is not None  # as it is for dynamo=True
    return program.model_proto


def _root_cause(error: BaseException) -> str:
    """Return why tracing failed, without the advice that torch wraps it in."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)


class _Call(nn.Module):
    """A function to trace; its tensors become constants."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _as_it_is(x: Tensor) -> Tensor:
    return x


class _DeformConv(nn.Module):
    """A deformable convolution that is exported as the one operator that the standard has for it."""

    def __init__(self, layer: ModulatedDeformConv2d) -> None:
        super().__init__()
        self.weight, self.bias, self.norm = layer.weight, layer.bias, layer.norm
        self.attributes: dict[str, Any] = {
            "kernel_shape": [layer.kernel_size] * 2,
            "strides": [layer.stride] * 2,
            "pads": [layer.padding] * 4,
            "dilations": [layer.dilation] * 2,
        }

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        """See :class:`~edgeblend.model.backbones.deform_conv.ModulatedDeformConv2d`; for tracing alone."""
        return torch.onnx.ops.symbolic(
            "DeformConv",
            (x, self.weight, offset, self.bias, mask),
            self.attributes,
            dtype=x.dtype,
            shape=(x.shape[0], self.weight.shape[0], *offset.shape[-2:]),
            version=OPSET,
        )


def _with_standard_operators(module: nn.Module) -> nn.Module:
    """Return a module whose deformable convolutions are traced as such: a copy, if it has any."""
    if not any(isinstance(layer, ModulatedDeformConv2d) for layer in module.modules()):
        return module
    module = copy.deepcopy(module)
    for name, layer in list(module.named_modules()):
        if isinstance(layer, ModulatedDeformConv2d):
            module.set_submodule(name, _DeformConv(layer))
    return module


def _keep_essentials(model: ModelProto, graph: SplitGraph) -> None:
    """Take off how torch came by the graph: stack traces with paths, and formulas of sizes."""
    proto = model.graph
    proto.name = graph.part
    for noted in (model, proto, *proto.node, *proto.input, *proto.output, *proto.initializer):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")
    del proto.value_info[:]
    layouts = {spec.name: spec.layout.lower() for spec in (*graph.inputs, *graph.outputs)}
    for value in (*proto.input, *proto.output):
        for axis, side in zip(layouts[value.name], value.type.tensor_type.shape.dim, strict=True):
            if side.HasField("dim_param"):
                side.dim_param = f"{value.name}_{axis}"


def _name_layers(model: ModelProto) -> None:
    """Call layers as the checkpoint does; :mod:`edgeblend.converters.onnx.layers` reads it."""
    seen: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in _WEIGHTED and node.input[1].endswith(_WEIGHT):
            name = node.input[1].removeprefix(_PREFIX).removesuffix(_WEIGHT)
            count = seen[name] = seen.get(name, -1) + 1
            node.name = f"{name}/{count}" if count else name  # levels can share a layer


def _use_scalars(model: ModelProto) -> None:
    """Make means and deviations that are alike for all channels scalars, and leave out a division by 1.

    ONNX Runtime computes INT8 networks with channels last, where a value for each of three channels takes
    twenty times as long as a scalar: a quarter of all time for the light network at 320x320.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type not in ("Sub", "Div") or node.input[1] not in constants:
            continue
        tensor = constants[node.input[1]]
        values = np.unique(numpy_helper.to_array(tensor))
        if len(values) > 1:
            continue
        if node.op_type == "Div" and values[0] == 1:
            _bypass(model, node)
        else:
            tensor.CopyFrom(numpy_helper.from_array(values[0], tensor.name))


def _bypass(model: ModelProto, node: NodeProto) -> None:
    """Take out a node whose output is its first input."""
    model.graph.node.remove(node)
    for other in model.graph.node:
        for position, name in enumerate(other.input):
            if name == node.output[0]:
                other.input[position] = node.input[0]
    used = {name for other in model.graph.node for name in other.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from torch's log that torchvision is missing, which nothing here needs, and what it deprecates."""
    with (
        logging_at(logging.ERROR, "torch.onnx"),
        without_warnings_of("copyreg", "onnx", "onnx_ir", "onnxscript", "torch"),
    ):
        yield
