"""TFLite files as objects: tensors and layers by name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

Model = Any
"""A whole file as the schema's object."""
Operator = Any

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_OPERATORS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}
_SIGNATURE = "serving_default"
_WEIGHT = ".weight"
_NAMELESS = "/"
"""Starts the names that no layer has."""
END = "/end of "
"""Starts the names of what :func:`take_ends` adds."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What goes into a graph and comes out, by name."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_file(data: bytes | bytearray | memoryview) -> Model:
    """Return a file's content as an object that can be changed."""
    model = flatbuffer_utils.read_model_from_bytearray(bytes(data))
    for buffer in model.buffers:
        if buffer.data is not None:
            # What is no array is written byte by byte, which takes some 50 times as long.
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    return model


def to_bytes(model: Model) -> bytes:
    """Return a model as the content of a file, the same bytes for equal models."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def operators(model: Model) -> Iterator[tuple[str, Operator]]:
    """Yield the operators of a file with one graph in the order in which they run, with their kinds."""
    for operator in model.subgraphs[0].operators:
        yield kind_of(model, operator), operator


def kind_of(model: Model, operator: Operator) -> str:
    """Return the kind of an operator, such as ``CONV_2D``."""
    code = model.operatorCodes[operator.opcodeIndex]
    return _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]


def tensor_name(model: Model, index: int) -> str:
    """Return the name of a tensor."""
    name: bytes = model.subgraphs[0].tensors[index].name
    return name.decode()


def layer_name(model: Model, operator: Operator) -> str | None:
    """Return the checkpoint's name for the layer that an operator is; None for one that no checkpoint has."""
    if kind_of(model, operator) not in LAYERS:
        return None
    name = tensor_name(model, operator.inputs[1])
    return None if name.startswith(_NAMELESS) else name.partition(_WEIGHT)[0]


def constant(model: Model, index: int) -> NDArray[Any] | None:
    """Return a tensor's stored values, a view; None for what is computed."""
    tensor = model.subgraphs[0].tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is None:
        return None
    kind = flatbuffer_utils.type_to_name(tensor.type).lower()
    values: NDArray[Any] = np.frombuffer(data, kind).reshape(tensor.shape)
    return values


def set_constant(model: Model, index: int, values: NDArray[Any]) -> None:
    """Replace a tensor's stored values; others that share its buffer keep theirs."""
    tensor = model.subgraphs[0].tensors[index]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1


def name_everything(
    model: Model,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    weights: Iterable[tuple[str, NDArray[Any]]],
) -> None:
    """Give every tensor a name that says what it is, in place of what the exporter called it.

    Inputs and outputs get the names that an engine knows them by, the weights of layers ``<layer>.weight``
    and their biases ``<layer>.bias``, all others ``/<kind of operator>_<number>``. A layer that several
    operators share has its tensors once or, numbered, once for each.

    Args:
        model: with one graph and one signature; changed.
        inputs: names in the signature's order.
        outputs: likewise.
        weights: of every layer by name, (out, in / groups, kh, kw) float32.
    """
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    names: dict[int, str] = {}
    names.update(zip(_positional(signature.inputs), inputs, strict=True))
    names.update(zip(_positional(signature.outputs), outputs, strict=True))
    layers = _Layers(weights)
    for number, (kind, operator) in enumerate(operators(model)):
        layer = layers.find(constant(model, operator.inputs[1])) if kind in LAYERS else None
        for position, index in enumerate(operator.inputs):
            if index >= 0 and model.buffers[graph.tensors[index].buffer].data is not None:
                ending = (None, _WEIGHT, ".bias")[position] if layer and position < 3 else None
                names.setdefault(
                    index, f"{layer}{ending}" if ending else f"{_NAMELESS}constant_{number}_{position}"
                )
        for index in operator.outputs:
            names.setdefault(index, f"{_NAMELESS}{kind.lower()}_{number}")
    taken: dict[str, int] = {}
    for index, tensor in enumerate(graph.tensors):
        name = names.get(index, f"{_NAMELESS}unused_{index}")
        count = taken[name] = taken.get(name, 0) + 1
        tensor.name = (f"{name}.{count - 1}" if count > 1 else name).encode()
    _rename_signature(signature.inputs, inputs)
    _rename_signature(signature.outputs, outputs)
    signature.signatureKey = _SIGNATURE.encode()
    graph.name, model.description = b"main", b"edgeblend"


def nearest_without_half_pixels(model: Model) -> None:
    """Let nearest neighbours be found without half-pixel centres, which devices do not have.

    By a whole factor f both find the same: floor((i + 0.5) / f) = floor(i / f).
    """
    graph = model.subgraphs[0]
    for kind, operator in operators(model):
        if kind == "RESIZE_NEAREST_NEIGHBOR":
            before, after = (
                graph.tensors[index].shape for index in (operator.inputs[0], operator.outputs[0])
            )
            if all(big % small == 0 for small, big in zip(before[1:3], after[1:3], strict=True)):
                operator.builtinOptions.halfPixelCenters = False


def tensor_index(model: Model, name: str) -> int:
    """Return the number of a tensor by its name."""
    for index in range(len(model.subgraphs[0].tensors)):
        if tensor_name(model, index) == name:
            return index
    raise KeyError(name)


def is_integer(model: Model, index: int) -> bool:
    """Return whether a tensor is stored as 8-bit integers."""
    return bool(model.subgraphs[0].tensors[index].type == schema.TensorType.INT8)


def quantization_of(model: Model, index: int) -> tuple[float, int]:
    """Return scale and zero point of a tensor of integers."""
    quantization = model.subgraphs[0].tensors[index].quantization
    return float(np.float32(quantization.scale[0])), int(quantization.zeroPoint[0])


def set_quantization(model: Model, index: int, scale: float, zero_point: int) -> None:
    """Say what the integers of a tensor mean."""
    quantization = model.subgraphs[0].tensors[index].quantization
    quantization.scale, quantization.zeroPoint = [scale], [zero_point]


def producers(model: Model) -> dict[int, Operator]:
    """Return which operator gives each tensor that is computed."""
    return {index: operator for _, operator in operators(model) for index in operator.outputs}


def group_norm_operators(model: Model) -> list[Operator]:
    """Return the operators that norms over means are made of, in a file in float.

    Those on the way from one layer to the next that has a mean in it: what leads to one or to the root of a
    variance, and what comes after.
    """
    made_by, users = producers(model), _users(model)
    norms: dict[int, Operator] = {}
    for kind, operator in operators(model):
        if kind in ("MEAN", "RSQRT"):
            _spread(model, operator, lambda found: [made_by.get(index) for index in found.inputs], norms)
            _spread(model, operator, lambda found: users.get(found.outputs[0], []), norms)
    return [operator for _, operator in operators(model) if id(operator) in norms]


def with_what_is_between(model: Model, in_float: Collection[str]) -> set[str]:
    """Return which operators are better in float, too, when some are: by the names of what they give.

    What is no layer, and gets all that it gets from operators in float, or gives to such operators alone.
    Integers there would round a second time, and no choice of layers would lead back to the float graph.

    Args:
        model: in float.
        in_float: layers and others that stay in float.
    """
    graph, made_by, users = model.subgraphs[0], producers(model), _users(model)
    found, size = set(in_float), -1
    while size < len(found):
        size = len(found)
        for _, operator in operators(model):
            (output,) = operator.outputs
            if layer_name(model, operator) is None:
                sources = [index for index in operator.inputs if index in made_by or index in graph.inputs]
                takers = [user.outputs[0] for user in users.get(output, [])]
                from_float = bool(sources) and all(tensor_name(model, index) in found for index in sources)
                to_float = bool(takers) and all(tensor_name(model, index) in found for index in takers)
                if from_float or (to_float and output not in graph.outputs):
                    found.add(tensor_name(model, output))
    return found


def take_ends(model: Model) -> Ends:
    """Take outputs and signature off a graph; an operator that does nothing takes each output instead.

    Its result has the name of the output behind :data:`END`.
    """
    graph = model.subgraphs[0]
    ends = Ends(*(tuple(tensor_name(model, index) for index in end) for end in (graph.inputs, graph.outputs)))
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    code.version = 1
    model.operatorCodes.append(code)
    for index in graph.outputs:
        taken, operator = copy.copy(graph.tensors[index]), schema.OperatorT()
        taken.name = f"{END}{tensor_name(model, index)}".encode()
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs, operator.outputs = [index], [len(graph.tensors)]
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT()
        operator.builtinOptions.newShape = list(taken.shape)
        graph.tensors.append(taken)
        graph.operators.append(operator)
    graph.outputs, model.signatureDefs = [], None
    return ends


def give_ends(model: Model, ends: Ends) -> None:
    """Undo :func:`take_ends`: outputs are given as they are computed now.

    An input that a conversion alone takes is taken as what it converts to.
    """
    graph = model.subgraphs[0]
    graph.operators = [
        operator
        for operator in graph.operators
        if not tensor_name(model, operator.outputs[0]).startswith(END)
    ]
    for kind, operator in list(operators(model)):
        source, target = operator.inputs[0], operator.outputs[0]
        if kind == "DEQUANTIZE" and source in graph.inputs and len(_users(model)[source]) == 1:
            graph.operators = [other for other in graph.operators if other is not operator]
            graph.inputs[graph.inputs.index(source)] = target
            tensors = graph.tensors
            tensors[source].name, tensors[target].name = tensors[target].name, tensors[source].name
    graph.outputs = [tensor_index(model, name) for name in ends.outputs]
    _drop_unused(model)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = _SIGNATURE.encode(), 0
    signature.inputs, signature.outputs = (
        [_entry(name, tensor_index(model, name)) for name in names] for names in (ends.inputs, ends.outputs)
    )
    model.signatureDefs = [signature]


def _drop_unused(model: Model) -> None:
    """Leave out the tensors and kinds of operators that no operator uses."""
    graph = model.subgraphs[0]
    named = [index for _, operator in operators(model) for index in (*operator.inputs, *operator.outputs)]
    used = sorted({*named, *graph.inputs, *graph.outputs} - {-1})
    number = {-1: -1, **{old: new for new, old in enumerate(used)}}
    kinds = sorted({operator.opcodeIndex for operator in graph.operators})
    for operator in graph.operators:
        operator.inputs = [number[index] for index in operator.inputs]
        operator.outputs = [number[index] for index in operator.outputs]
        operator.opcodeIndex = kinds.index(operator.opcodeIndex)
    graph.inputs = [number[index] for index in graph.inputs]
    graph.outputs = [number[index] for index in graph.outputs]
    graph.tensors = [graph.tensors[index] for index in used]
    model.operatorCodes = [model.operatorCodes[index] for index in kinds]


def _entry(name: str, index: int) -> Any:  # noqa: ANN401
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry


def _users(model: Model) -> dict[int, list[Operator]]:
    found: dict[int, list[Operator]] = {}
    for _, operator in operators(model):
        for index in operator.inputs:
            found.setdefault(index, []).append(operator)
    return found


def _spread(
    model: Model,
    start: Operator,
    neighbours: Callable[[Operator], Sequence[Operator | None]],
    found: dict[int, Operator],
) -> None:
    """Add an operator and all that can be reached from it without passing a layer."""
    waiting, seen = [start], set()
    while waiting:
        operator = waiting.pop()
        if id(operator) in seen or layer_name(model, operator) is not None:
            continue
        seen.add(id(operator))
        found[id(operator)] = operator
        waiting += [other for other in neighbours(operator) if other is not None]


class _Layers:
    """Finds the layer that a stored weight belongs to, by its values."""

    def __init__(self, weights: Iterable[tuple[str, NDArray[Any]]]) -> None:
        self._names: dict[bytes, list[str]] = {}
        for name, weight in weights:
            # CONV_2D stores (out, kh, kw, in); DEPTHWISE_CONV_2D (1, kh, kw, channels).
            for axes in ((0, 2, 3, 1), (1, 2, 3, 0)):
                known = self._names.setdefault(np.ascontiguousarray(weight.transpose(axes)).tobytes(), [])
                if name not in known:
                    known.append(name)

    def find(self, weight: NDArray[Any] | None) -> str | None:
        """Return its name; layers with equal weights are told apart by the order in which they run."""
        names = self._names.get(np.ascontiguousarray(weight).tobytes()) if weight is not None else None
        if not names:
            return None
        return names.pop(0) if len(names) > 1 else names[0]


def _positional(entries: Sequence[Any]) -> list[int]:
    """Return the tensors of a signature in the order of the exported function's arguments or results."""
    return [entry.tensorIndex for entry in sorted(entries, key=_position)]


def _position(entry: Any) -> int:  # noqa: ANN401
    return int(entry.name.decode().rpartition("_")[2])


def _rename_signature(entries: Sequence[Any], names: Sequence[str]) -> None:
    for entry, name in zip(sorted(entries, key=_position), names, strict=True):
        entry.name = name.encode()
