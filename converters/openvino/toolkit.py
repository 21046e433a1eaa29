"""NNCF: OpenVINO graphs to INT8."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import openvino as ov
from openvino._offline_transformations import compress_quantize_weights_transformation

from edgeblend.converters.opened import ExportedGraph, OpenGraph
from edgeblend.converters.openvino.layers import (
    float_layers,
    layers_in_int8,
    layers_of,
    switch_name,
    with_switches,
)
from edgeblend.converters.openvino.names import name_the_nameless
from edgeblend.converters.quantize.nncf_pipeline import run_pipeline, tool_versions
from edgeblend.converters.quantize.toolkits import SizedItems
from edgeblend.manifest import GraphSpec, Part, TensorQuantization
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.base import Array, Session, SessionInfo
from edgeblend.runtime.backends.openvino import compile_model, compiled_session

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

FORMATS = ("openvino-ir",)
"""Graphs that it takes."""


def check_recipe(recipe: Recipe) -> None:
    """Take every recipe: its fields are modelled on what NNCF offers."""
    del recipe


def read_model(files: Sequence[Path]) -> ov.Model:
    """Return a graph in float."""
    return ov.Core().read_model(files[0])


def layer_names(model: ov.Model) -> tuple[str, ...]:
    """Return the layers of a graph in the order in which they run."""
    return tuple(layers_of(model))


def quantize_model(
    model: ov.Model,
    items: SizedItems,
    recipe: Recipe,
    *,
    float_layers: Collection[str],
    arriving: Mapping[str, TensorQuantization],
) -> ov.Model:
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
    quantized = _run_pipeline(model, items, recipe, float_layers)
    compress_quantize_weights_transformation(quantized)
    return quantized


@contextmanager
def each_alone(
    model: ov.Model, graph: GraphSpec, items: SizedItems, recipe: Recipe
) -> Iterator[Callable[[str], OpenGraph]]:
    """Enter to open, layer by layer, a graph with that layer alone rounded as in INT8.

    It is one graph with a switch for each layer, compiled once.

    Args:
        model: in float; not changed.
        graph: describes it.
        items: what it is calibrated on.
        recipe: how layers are rounded; those that it keeps in float are, too. Bias correction is left out.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    fake = _run_pipeline(model, items, msgspec.structs.replace(recipe, bias_correction="none"), ())
    off = {switch_name(layer): np.zeros(1, np.float32) for layer in layers_of(model)}
    session = compiled_session(compile_model(with_switches(model, fake)))

    def alone(layer: str) -> OpenGraph:
        switches = {**off, switch_name(layer): np.ones(1, np.float32)}
        return OpenGraph(graph, _Switched(session, switches))

    try:
        yield alone
    finally:
        session.close()


def _run_pipeline(
    model: ov.Model, items: SizedItems, recipe: Recipe, float_layers: Collection[str]
) -> ov.Model:
    layers = layers_of(model)
    ignored = [node.get_friendly_name() for name in float_layers for node in layers[name]]
    return run_pipeline(model, items, recipe, ignored=ignored)


def save_model(model: ov.Model, folder: Path, part: Part, graph: GraphSpec, *, half: bool) -> ExportedGraph:
    """Write a graph as OpenVINO IR: the ``.xml`` and the ``.bin`` beside it; equal graphs as equal files."""
    name_the_nameless(model)
    path = folder / f"{part}.xml"
    ov.save_model(model, path, compress_to_fp16=half)
    return ExportedGraph((path, path.with_suffix(".bin")), graph.inputs, graph.outputs)


@dataclass(frozen=True, slots=True)
class _Switched:
    """A session with some of its inputs set."""

    session: Session
    switches: Mapping[str, Array]

    @property
    def info(self) -> SessionInfo:
        """What the session says of itself."""
        return self.session.info

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the session."""
        return self.session.run({**inputs, **self.switches})

    def fork(self) -> _Switched:
        """Return the same over a fork of the session."""
        return _Switched(self.session.fork(), self.switches)

    def close(self) -> None:
        """Leave the session open, which others use, too."""
