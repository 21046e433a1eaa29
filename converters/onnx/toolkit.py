"""NNCF: ONNX graphs to INT8, as ONNX Runtime computes it.

Weights and activations become integers between ``QuantizeLinear`` and ``DequantizeLinear`` (QDQ), which any
engine for ONNX understands. Outputs are float32; those of layers in INT8 are rounded to 256 steps each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path

import msgspec
import onnx
from nncf.common.graph import NNCFGraph, NNCFNode
from nncf.onnx.engine import ONNXEngine
from nncf.quantization.algorithms.bias_correction.algorithm import BiasCorrection, SubgraphData
from onnx import ModelProto

from edgeblend.converters.onnx.export import store_half, write_model
from edgeblend.converters.onnx.fusing import scalings, with_ends, without_ends
from edgeblend.converters.onnx.layers import (
    float_layers,
    layers_in_int8,
    layers_of,
    roundings,
    with_rounded,
)
from edgeblend.converters.opened import ExportedGraph, OpenGraph
from edgeblend.converters.process_state import replaced
from edgeblend.converters.quantize.nncf_pipeline import run_pipeline, tool_versions
from edgeblend.converters.quantize.toolkits import SizedItems
from edgeblend.manifest import GraphSpec, Part, TensorQuantization
from edgeblend.processes.one_at_a_time import one_at_a_time
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.onnxruntime import OnnxRuntimeSession, model_session

__all__ = [
    "FORMATS",
    "check_recipe",
    "each_alone",
    "float_layers",
    "layer_names",
    "layers_in_int8",
    "quantize_model",
    "read_model",
    "save_model",
    "tool_versions",
]

FORMATS = ("onnx",)
"""Graphs that it takes."""


def check_recipe(recipe: Recipe) -> None:
    """Take every recipe: its fields are modelled on what NNCF offers."""
    del recipe


def read_model(files: Sequence[Path]) -> ModelProto:
    """Return a graph in float."""
    return onnx.load(files[0])


def layer_names(model: ModelProto) -> tuple[str, ...]:
    """Return the layers of a graph in the order in which they run."""
    return tuple(layers_of(model))


def quantize_model(
    model: ModelProto,
    items: SizedItems,
    recipe: Recipe,
    *,
    float_layers: Collection[str],
    arriving: Mapping[str, TensorQuantization],
) -> ModelProto:
    """Return a graph with its layers in INT8.

    Args:
        model: in float; not changed.
        items: what it is calibrated on.
        recipe: how.
        float_layers: names of layers that stay in float.
        arriving: of no use here: the graph keeps its inputs in float.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    del arriving
    return without_ends(_run_pipeline(with_ends(model, float_layers), items, recipe, float_layers))


@contextmanager
def each_alone(
    model: ModelProto, graph: GraphSpec, items: SizedItems, recipe: Recipe
) -> Iterator[Callable[[str], OpenGraph]]:
    """Enter to open, layer by layer, a graph with that layer alone rounded as in INT8.

    Args:
        model: in float; not changed.
        graph: describes it.
        items: what it is calibrated on.
        recipe: how layers are rounded; those that it keeps in float are, too. Bias correction is left out.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    plain = msgspec.structs.replace(recipe, bias_correction="none")
    rounding = roundings(quantize_model(model, items, plain, float_layers=(), arriving={}))
    opened: list[OnnxRuntimeSession] = []

    def close() -> None:
        while opened:
            opened.pop().close()

    def alone(layer: str) -> OpenGraph:
        close()
        opened.append(_session(with_rounded(model, layer, rounding)))
        return OpenGraph(graph, opened[0])

    try:
        yield alone
    finally:
        close()


def save_model(model: ModelProto, folder: Path, part: Part, graph: GraphSpec, *, half: bool) -> ExportedGraph:
    """Write a graph as ONNX; equal graphs as equal files."""
    if half:
        model = _copy(model)
        store_half(model)
    path = folder / f"{part}.onnx"
    write_model(model, path)
    return ExportedGraph((path,), graph.inputs, graph.outputs)


def _run_pipeline(
    ended: ModelProto, items: SizedItems, recipe: Recipe, float_layers: Collection[str]
) -> ModelProto:
    layers = layers_of(ended)
    with one_at_a_time(), _sound_bias_correction():
        made: ModelProto = run_pipeline(
            ended,
            items,
            recipe,
            ignored=[*(node.name for name in float_layers for node in layers[name]), *scalings(ended)],
            one_scale_for_activations=True,  # ONNX Runtime has no integer convolution for more
            outputs=True,
        )
    return made


@contextmanager
def _sound_bias_correction() -> Iterator[None]:
    """Keep two things from going wrong where graphs branch (NNCF 3.4, ONNX Runtime 1.32).

    ONNX Runtime fuses a convolution into its sum with another branch, and then misses the convolution's own
    output, which bias correction looks at. And the part of a graph that is run to correct a layer has a
    tensor as input twice where two layers take it, or as that of a layer which is not in that part.
    """
    engine, prepare = ONNXEngine.__init__, BiasCorrection._prepare_subgraph

    def with_each_input_once(
        self: BiasCorrection, node: NNCFNode, model: ModelProto, graph: NNCFGraph, data: SubgraphData
    ) -> ModelProto:
        part: ModelProto = prepare(self, node, model, graph, data)
        takers = {name: (node.name, at) for node in part.graph.node for at, name in enumerate(node.input)}
        inputs = {value.name: value for value in part.graph.input if value.name in takers}
        del part.graph.input[:]
        part.graph.input.extend(inputs.values())
        tensors = {(node.name, at): name for node in model.graph.node for at, name in enumerate(node.input)}
        known, entries = self._collected_stat_inputs_map, set()
        for name, entry in {tensors[entry]: entry for entry in data.input_ids}.items():
            if name in inputs:
                known[takers[name]] = known[entry]
                entries.add(takers[name])
        data.input_ids = entries
        return part

    without_fusion = partialmethod(engine, disabled_optimizers=["ConvAddActivationFusion"])
    with (
        replaced(ONNXEngine, __init__=without_fusion),
        replaced(BiasCorrection, _prepare_subgraph=with_each_input_once),
    ):
        yield


def _session(model: ModelProto) -> OnnxRuntimeSession:
    return model_session(model.SerializeToString())


def _copy(model: ModelProto) -> ModelProto:
    copied = ModelProto()
    copied.CopyFrom(model)
    return copied
