"""The graphs of a network, and its attention layer, written as a bundle's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import save

from edgeblend.arguments.callbacks import Say
from edgeblend.bundle import describe_file
from edgeblend.converters.plan import ConversionPlan
from edgeblend.converters.split import (
    AttentionMode,
    SplitGraph,
    attention_weights,
    example_inputs,
    input_shapes,
)
from edgeblend.converters.targets import Target
from edgeblend.manifest import AttentionSpec, GraphSpec, Part
from edgeblend.model.blendmask import BlendMask
from edgeblend.runtime.attention import AttentionLayer

ATTENTION_FILE = "attention.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class WrittenNetwork:
    """The files of a network as the manifest describes them."""

    graphs: Mapping[Part, GraphSpec]
    attention: AttentionSpec
    layer: AttentionLayer | None
    """The attention layer in memory; None where the graph computes the attention."""


def write_network(
    network: BlendMask,
    graphs: Sequence[SplitGraph],
    plan: ConversionPlan,
    folder: Path,
    target: Target,
    say: Say,
) -> WrittenNetwork:
    """Write a network into a folder.

    Args:
        network: with its weights, in evaluation mode.
        graphs: the detector and the basis graph that it was split into.
        plan: the canvas, and how weights and attention are stored.
        folder: where the files go.
        target: what exports the graphs.
        say: called with a few words before each graph.

    Raises:
        ConversionError: the exporter does not take a graph.
    """
    detector, basis = graphs
    height, width = plan.input.height, plan.input.width
    canvas = (height, width) if height and width else None
    examples = example_inputs(detector)
    channels = examples[basis.inputs[0].name].shape[1]
    specs: dict[Part, GraphSpec] = {}
    for graph in graphs:
        say(f"exporting the {graph.part} graph")
        written = target.export_graph(
            graph,
            folder,
            example=tuple(examples[spec.name] for spec in graph.inputs),
            shapes=input_shapes(graph, canvas, channels),
            precision=plan.options.precision,
        )
        specs[graph.part] = written.spec(target.FORMAT, plan.options.precision)
    layer, attention = _write_attention(network, folder, plan.options.attention)
    return WrittenNetwork(specs, attention, layer)


def _write_attention(
    network: BlendMask, folder: Path, mode: AttentionMode
) -> tuple[AttentionLayer | None, AttentionSpec]:
    if mode == "dense":
        return None, AttentionSpec(mode=mode, file=None)
    weights = attention_weights(network)
    file = folder / ATTENTION_FILE
    file.write_bytes(save(weights))
    return AttentionLayer(**weights), AttentionSpec(mode=mode, file=describe_file(file))
