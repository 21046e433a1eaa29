"""Graphs as they are written, and as they run; networks of them, which conversions are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeblend.bundle import Bundle, describe_file
from edgeblend.calibration.evaluation.recording import OutputKey, run_graphs
from edgeblend.errors import ConversionError
from edgeblend.manifest import GraphPrecision, GraphSpec, Part, TensorSpec
from edgeblend.results import Instances
from edgeblend.runtime.attention import AttentionLayer, load_attention
from edgeblend.runtime.backends.base import EngineOptions, Session
from edgeblend.runtime.backends.registry import load_backend
from edgeblend.runtime.pipeline import HostPipeline, PipelineSpec
from edgeblend.runtime.sessions import open_sessions
from edgeblend.spec import BlendSpec, DecodeSpec, InputSpec


@dataclass(frozen=True, slots=True)
class ExportedGraph:
    """A graph that an exporter or a quantizer has written, with its tensors as they are in the files."""

    files: tuple[Path, ...]
    """The file that an engine opens comes first."""
    inputs: tuple[TensorSpec, ...]
    """In the order of the split graph's inputs."""
    outputs: tuple[TensorSpec, ...]

    def spec(self, target_format: str, precision: GraphPrecision) -> GraphSpec:
        """Return the manifest's description of it."""
        return GraphSpec(
            format=target_format,
            precision=precision,
            files=tuple(describe_file(file) for file in self.files),
            inputs=self.inputs,
            outputs=self.outputs,
        )


@dataclass(frozen=True, slots=True)
class OpenGraph:
    """A graph that runs."""

    spec: GraphSpec
    """How the session's tensors are stored. The files that it lists may have been removed."""
    session: Session


@dataclass(frozen=True, slots=True, eq=False)
class OpenNetwork:
    """The graphs of a network that run, and everything else that segmenting with them takes.

    A :class:`~edgeblend.runtime.pipeline.PipelineSpec`. It closes no session.
    """

    input: InputSpec
    decode: DecodeSpec
    blend: BlendSpec
    things: tuple[str, ...]
    category_ids: tuple[int, ...]
    attention: AttentionLayer | None
    """The attention layer of a network with sparse attention."""
    open_graphs: Mapping[Part, OpenGraph]

    @property
    def graphs(self) -> dict[Part, GraphSpec]:
        """The tensors of each graph."""
        return {part: graph.spec for part, graph in self.open_graphs.items()}

    @property
    def sessions(self) -> dict[Part, Session]:
        """The session of each graph."""
        return {part: graph.session for part, graph in self.open_graphs.items()}

    def with_graphs(self, graphs: Mapping[Part, OpenGraph]) -> OpenNetwork:
        """Return the network with these graphs in place of its own; it keeps the others."""
        return replace(self, open_graphs={**self.open_graphs, **graphs})

    def segment(self, frame: NDArray[np.uint8]) -> Instances:
        """Return the instances of a frame, (H, W, 3) uint8 BGR."""
        pipeline = HostPipeline(
            self, self.sessions, attention=self.attention, score_threshold=None, paste="clipped"
        )
        return pipeline(frame, None)

    def outputs(self, frame: NDArray[np.uint8]) -> dict[OutputKey, NDArray[np.float32]]:
        """Return every output of every graph for a frame, see :func:`.recording.run_graphs`."""
        return run_graphs(self.sessions, self, frame)

    def output_names(self) -> dict[OutputKey, str]:
        """Return what the graphs call each output."""
        return {
            (part, spec.role, spec.level): spec.name
            for part, graph in self.graphs.items()
            for spec in graph.outputs
        }


def network_of(
    spec: PipelineSpec, graphs: Mapping[Part, OpenGraph], attention: AttentionLayer | None
) -> OpenNetwork:
    """Return a network that runs these graphs, with everything else from a manifest."""
    return OpenNetwork(
        input=spec.input,
        decode=spec.decode,
        blend=spec.blend,
        things=spec.things,
        category_ids=spec.category_ids,
        attention=attention,
        open_graphs=graphs,
    )


def open_network(bundle: Bundle, stack: ExitStack) -> OpenNetwork:
    """Open every graph of a bundle on its engine, until the stack is left."""
    manifest, sessions = bundle.manifest, open_sessions(bundle)
    for session in sessions.values():
        stack.callback(session.close)
    graphs = {part: OpenGraph(bundle.graph(part), session) for part, session in sessions.items()}
    file = manifest.attention.file
    layer = load_attention(bundle.file(file), manifest.blend) if file else None
    return network_of(manifest, graphs, layer)


def open_written(target: str, spec: GraphSpec, folder: Path, stack: ExitStack) -> OpenGraph:
    """Open a graph that was just written, in float32 on the engine of its target, until the stack is left."""
    paths = [folder / file.name for file in spec.files]
    graph = OpenGraph(spec, load_backend(target).open_session(spec, paths, EngineOptions(precision="f32")))
    stack.callback(graph.session.close)
    return graph


def refuse_not_finite(outputs: Mapping[OutputKey, NDArray[np.float32]], who: str, image: str) -> None:
    """Refuse outputs that nothing can be compared with.

    Args:
        outputs: the outputs of the network that is taken for right.
        who: that network, such as ``the float bundle``.
        image: name of the image that it ran on.

    Raises:
        ConversionError: values are nan or infinite. The message names the outputs and counts the values.
    """
    broken = []
    for (part, role, level), values in outputs.items():
        if count := int(np.count_nonzero(~np.isfinite(values))):
            name = f"{role} {level}" if level else role
            broken.append(f"{count} of {values.size} values of {part} output {name}")
    if broken:
        raise ConversionError(
            f"{who} gives nan or infinity for {image}: {', '.join(broken)}; nothing can be compared with "
            "it, and nothing was written. Use another checkpoint"
        )
