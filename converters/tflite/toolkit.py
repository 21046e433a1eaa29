"""AI Edge Quantizer: TFLite graphs to INT8, with what goes in and comes out in INT8, too."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from edgeblend.converters.opened import ExportedGraph, OpenGraph
from edgeblend.converters.quantize.toolkits import SizedItems
from edgeblend.converters.tflite.calibrated import CalibratedGraph
from edgeblend.converters.tflite.model_file import (
    is_integer,
    layer_name,
    operators,
    producers,
    quantization_of,
    read_file,
    tensor_index,
)
from edgeblend.converters.tflite.precision import round_weights
from edgeblend.converters.tflite.ranges import ESTIMATORS
from edgeblend.errors import InputError
from edgeblend.manifest import GraphSpec, Part, TensorQuantization, TensorSpec
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.tflite import model_session

FORMATS = ("tflite",)
"""Graphs that it takes."""


def check_recipe(recipe: Recipe) -> None:
    """Refuse what a recipe asks for and the quantizer cannot do.

    Raises:
        InputError: with what it can.
    """
    if recipe.activations != "asymmetric":
        raise InputError(
            f"recipe {recipe.name!r}: activations can be 'asymmetric' for TFLite, whose image has the zero "
            f"point -128, not {recipe.activations!r}"
        )
    if recipe.bias_correction == "accurate":
        raise InputError(
            f"recipe {recipe.name!r}: bias_correction can be 'none' or 'fast' for TFLite, not 'accurate'"
        )
    if recipe.range_estimator not in ESTIMATORS:
        raise InputError(
            f"recipe {recipe.name!r}: range_estimator can be {', '.join(ESTIMATORS)} for TFLite, not "
            f"{recipe.range_estimator!r}"
        )


def read_model(files: Sequence[Path]) -> bytes:
    """Return a graph in float: the content of its file."""
    return files[0].read_bytes()


def layer_names(model: bytes) -> tuple[str, ...]:
    """Return the layers of a graph in the order in which they run."""
    content = read_file(model)
    found = (layer_name(content, operator) for _, operator in operators(content))
    return tuple(dict.fromkeys(name for name in found if name is not None))


def layers_in_int8(model: bytes) -> tuple[str, ...]:
    """Return the layers that compute in integers, at all levels, in the order in which they run."""
    content = read_file(model)
    found: dict[str, bool] = {}
    for _, operator in operators(content):
        name = layer_name(content, operator)
        if name is not None:
            integer = all(is_integer(content, index) for index in operator.inputs[:2])
            found[name] = found.get(name, True) and integer
    return tuple(name for name, integer in found.items() if integer)


def float_layers(model: bytes, graph: GraphSpec, recipe: Recipe) -> tuple[str, ...]:
    """Return which layers of a graph a recipe keeps in float, in the order in which they run."""
    content = read_file(model)
    names = layer_names(model)
    kept = {name for name in names if any(fnmatchcase(name, pattern) for pattern in recipe.float_layers)}
    made_by = producers(content)
    for spec in graph.outputs:
        if spec.role in recipe.float_roles:
            kept |= _last_layers(content, tensor_index(content, spec.name), made_by)
    return tuple(name for name in names if name in kept)


def quantize_model(
    model: bytes,
    items: SizedItems,
    recipe: Recipe,
    *,
    float_layers: Collection[str],
    arriving: Mapping[str, TensorQuantization],
) -> bytes:
    """Return a graph in INT8: its layers, what is between them, and what goes in and comes out.

    An input or output that only layers in float have to do with stays in float, and so do group norms,
    whose variances have too wide a range for 8 bits.

    Args:
        model: in float; not changed.
        items: what it is calibrated on.
        recipe: how.
        float_layers: names of layers that stay in float.
        arriving: how inputs come as integers, by name; the graph takes them just so.

    Raises:
        ConversionError: the quantizer does not take the graph.
    """
    return CalibratedGraph(model, items, recipe).quantized(float_layers, arriving)


@contextlib.contextmanager
def each_alone(
    model: bytes, graph: GraphSpec, items: SizedItems, recipe: Recipe
) -> Iterator[Callable[[str], OpenGraph]]:
    """Enter to open, layer by layer, a graph with that layer alone in INT8, each until the next is opened.

    Args:
        model: in float; not changed.
        graph: describes it.
        items: what it is calibrated on, once for all layers.
        recipe: how layers are quantized; those that it keeps in float are, too. Bias correction is left out.

    Raises:
        ConversionError: the quantizer does not take the graph.
    """
    plain = msgspec.structs.replace(recipe, bias_correction="none")
    with _opened_alone(CalibratedGraph(model, items, plain), graph) as alone:
        yield alone


def save_model(model: bytes, folder: Path, part: Part, graph: GraphSpec, *, half: bool) -> ExportedGraph:
    """Write a graph as a TFLite file; equal graphs as equal files.

    Args:
        model: in float or quantized.
        folder: where the file goes.
        part: which graph it is; names the file.
        graph: describes the float graph that it was made from.
        half: store the weights of a graph in float as float16.
    """
    path = folder / f"{part}.tflite"
    path.write_bytes(round_weights(model, "fp16") if half else model)
    spec = described(model, graph)
    return ExportedGraph((path,), spec.inputs, spec.outputs)


def tool_versions() -> dict[str, str]:
    """Return the versions of what quantizes."""
    return {name: version(name) for name in ("ai-edge-quantizer", "ai-edge-litert")}


def described(model: bytes, graph: GraphSpec) -> GraphSpec:
    """Return a float graph's description with its tensors as a graph that was made from it stores them."""
    content = read_file(model)

    def as_stored(spec: TensorSpec) -> TensorSpec:
        index = tensor_index(content, spec.name)
        if not is_integer(content, index):
            return msgspec.structs.replace(spec, dtype="float32", quantization=None)
        scale, zero_point = quantization_of(content, index)
        return msgspec.structs.replace(
            spec, dtype="int8", quantization=TensorQuantization(scale=scale, zero_point=zero_point)
        )

    return msgspec.structs.replace(
        graph, inputs=tuple(map(as_stored, graph.inputs)), outputs=tuple(map(as_stored, graph.outputs))
    )


@contextlib.contextmanager
def _opened_alone(calibrated: CalibratedGraph, graph: GraphSpec) -> Iterator[Callable[[str], OpenGraph]]:
    """Enter to open a graph with one layer in INT8, and then with another."""
    with contextlib.ExitStack() as stack:

        def alone(layer: str) -> OpenGraph:
            stack.close()
            made = calibrated.alone(layer)
            session = model_session(made)
            stack.callback(session.close)
            return OpenGraph(described(made, graph), session)

        yield alone


def _last_layers(content: Any, index: int, made_by: Mapping[int, Any]) -> set[str]:  # noqa: ANN401
    """Return the layers that a tensor comes from directly."""
    operator = made_by.get(index)
    if operator is None:
        return set()
    layer = layer_name(content, operator)
    if layer is not None:
        return {layer}
    return {name for source in operator.inputs for name in _last_layers(content, source, made_by)}
