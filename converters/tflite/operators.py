"""The operators of a TFLite graph, in order, with the multiplications that each takes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert.tools import flatbuffer_utils

from edgeblend.converters.tflite.model_file import (
    Model,
    Operator,
    kind_of,
    layer_name,
    read_file,
    tensor_name,
)
from edgeblend.errors import InputError

_IDENTIFIER = b"TFL3"


@dataclass(frozen=True, slots=True)
class TfliteTensor:
    """One input or output of a graph."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """Such as ``int8``."""


@dataclass(frozen=True, slots=True)
class TfliteOperator:
    """One operator of a graph."""

    index: int
    """Its place in the file."""
    kind: str
    """Such as ``CONV_2D``; the name of its kernel for a custom operator, such as ``ethos-u``."""
    name: str
    """Of its first output; TFLite's operators have no names of their own."""
    layer: str | None
    """The checkpoint's name of the layer that it is; None for what has no weights there."""
    shape: tuple[int, ...]
    """Of its first output."""
    macs: int
    """Multiplications with accumulation; 0 for what is neither a convolution nor a matrix product."""


@dataclass(frozen=True, slots=True)
class TfliteGraph:
    """What is in a ``.tflite`` file of one subgraph."""

    operators: tuple[TfliteOperator, ...]
    inputs: tuple[TfliteTensor, ...]
    outputs: tuple[TfliteTensor, ...]
    signature: dict[str, str]
    """Name in the file's signature to the name of the tensor; empty without a signature."""


def read_tflite(path: Path) -> TfliteGraph:
    """Read the graph of a TFLite file.

    Raises:
        InputError: the file is not a TFLite model, broken, or of several subgraphs.
    """
    data = path.read_bytes()
    if data[4:8] != _IDENTIFIER:
        raise InputError(f"{path}: not a TFLite model: expected the identifier 'TFL3', found {data[4:8]!r}")
    try:
        model = read_file(data)
    except (struct.error, IndexError, TypeError, ValueError) as error:  # reading past the end
        raise InputError(f"{path}: broken TFLite model: {error}") from error
    if len(model.subgraphs) != 1:
        raise InputError(f"{path}: expected a model of one subgraph, found {len(model.subgraphs)}")
    graph = model.subgraphs[0]
    return TfliteGraph(
        operators=tuple(_described(model, operator, index) for index, operator in enumerate(graph.operators)),
        inputs=tuple(_tensor(model, index) for index in graph.inputs),
        outputs=tuple(_tensor(model, index) for index in graph.outputs),
        signature=_signature(model),
    )


def _described(model: Model, operator: Operator, index: int) -> TfliteOperator:
    custom = model.operatorCodes[operator.opcodeIndex].customCode
    kind = custom.decode() if custom else kind_of(model, operator)
    return TfliteOperator(
        index=index,
        kind=kind,
        name=tensor_name(model, operator.outputs[0]),
        layer=layer_name(model, operator),
        shape=_shape(model, operator.outputs[0]),
        macs=_macs(model, operator, kind),
    )


def _macs(model: Model, operator: Operator, kind: str) -> int:
    output = _shape(model, operator.outputs[0])
    shapes = [_shape(model, index) if index >= 0 else () for index in operator.inputs]
    match kind:
        case "CONV_2D":  # weights (out, height, width, in of a group)
            return math.prod(output) * math.prod(shapes[1][1:])
        case "DEPTHWISE_CONV_2D":  # weights (1, height, width, out)
            return math.prod(output) * math.prod(shapes[1][1:3])
        case "TRANSPOSE_CONV":  # output shape; weights (out, height, width, in); input: each value is spread
            return math.prod(shapes[2]) * math.prod(shapes[1][:3])
        case "FULLY_CONNECTED":  # weights (out, in)
            return math.prod(output) * shapes[1][-1]
        case "BATCH_MATMUL":  # of the left operand (.., rows, summed), perhaps transposed
            return math.prod(output) * (math.prod(shapes[0][-2:]) // output[-2])
        case _:
            return 0


def _tensor(model: Model, index: int) -> TfliteTensor:
    kind = flatbuffer_utils.type_to_name(model.subgraphs[0].tensors[index].type)
    return TfliteTensor(tensor_name(model, index), _shape(model, index), kind.lower())


def _shape(model: Model, index: int) -> tuple[int, ...]:
    shape = model.subgraphs[0].tensors[index].shape
    return () if shape is None else tuple(int(side) for side in shape)


def _signature(model: Model) -> dict[str, str]:
    return {
        entry.name.decode(): tensor_name(model, entry.tensorIndex)
        for signature in model.signatureDefs or ()
        for entry in (*signature.inputs, *signature.outputs)
    }
