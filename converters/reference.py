"""The split graphs run by torch behind the runtime's own interface.

It is what exported graphs are compared with, and what shows how torch itself would segment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import torch

from edgeblend.arguments.choices import check_choice
from edgeblend.converters.model_classes import ClassNames, read_class_names
from edgeblend.converters.opened import OpenGraph
from edgeblend.converters.plan import ConvertOptions, check_options, plan_conversion
from edgeblend.converters.split import AttentionMode, SplitGraph, attention_weights, split_network
from edgeblend.converters.verify import TOLERANCES
from edgeblend.errors import EngineError
from edgeblend.manifest import AttentionSpec, GraphSpec, Part, VerificationSpec
from edgeblend.model.blendmask import BlendMask
from edgeblend.processes.one_at_a_time import one_at_a_time
from edgeblend.runtime.assemble import PasteMode
from edgeblend.runtime.attention import AttentionLayer
from edgeblend.runtime.backends.base import Array, Session, SessionInfo
from edgeblend.runtime.segmenter import Segmenter

_NOTHING_TO_VERIFY = VerificationSpec(
    tolerance=TOLERANCES["fp32"], pictures=(), tensors=(), detections=0, matched=0, lowest_mask_iou=None
)
"""Torch is what exported graphs are compared with."""


def torch_segmenter(
    network: BlendMask,
    *,
    input_size: tuple[int, int] | None = None,
    dynamic: bool = False,
    attention: AttentionMode = "sparse",
    class_names: ClassNames | None = None,
    category_ids: Sequence[int] | None = None,
    score_threshold: float | None = None,
    paste: PasteMode = "clipped",
    device: str | torch.device = "cpu",
) -> Segmenter:
    """Return a segmenter that runs a network in torch: what a converted bundle is measured against.

    Args:
        network: in evaluation mode, with its weights.
        input_size: (height, width) of the canvas; None takes the config's, landscape.
        dynamic: let the canvas follow each frame, by the config's own resize rule.
        attention: where the attention is computed; the numbers are the same.
        class_names: as for :func:`edgeblend.convert`.
        category_ids: as for :func:`edgeblend.convert`.
        score_threshold: as for :meth:`edgeblend.Segmenter.load`.
        paste: as for :meth:`edgeblend.Segmenter.load`.
        device: where the network is; everything after it runs on the CPU.

    Raises:
        InputError: options that are not valid, or contradict each other.
    """
    check_choice("paste", paste, get_args(PasteMode))
    options = ConvertOptions(
        target="torch",
        input_size=input_size,
        dynamic=dynamic,
        attention=attention,
        classes=read_class_names(class_names, category_ids),
    )
    check_options(options)
    graphs = split_network(network, attention=attention)
    plan = plan_conversion(network.config, network.config.name, options)
    manifest = plan.manifest(
        checkpoint="none",  # the weights are in memory; nothing says which file they are from
        checkpoint_sha256="0" * 64,
        graphs={graph.part: torch_spec(graph) for graph in graphs},
        attention=AttentionSpec(mode=attention, file=None),
        verification=_NOTHING_TO_VERIFY,
        tools={"torch": torch.__version__},
    )
    layer = AttentionLayer(**attention_weights(network)) if attention == "sparse" else None
    sessions: dict[Part, Session] = {graph.part: TorchSession(graph, device) for graph in graphs}
    return Segmenter(manifest, sessions, attention=layer, score_threshold=score_threshold, paste=paste)


def open_in_torch(graph: SplitGraph) -> OpenGraph:
    """Return a split graph that runs in torch."""
    return OpenGraph(torch_spec(graph), TorchSession(graph))


def torch_spec(graph: SplitGraph) -> GraphSpec:
    """Return what a manifest would say of a split graph in torch."""
    return GraphSpec(format="torch", precision="fp32", files=(), inputs=graph.inputs, outputs=graph.outputs)


class TorchSession:
    """One split graph in eager float32 torch."""

    def __init__(self, graph: SplitGraph, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        name = str(self._device).upper()
        self.info = SessionInfo(f"torch {torch.__version__}", name, name, "f32", torch.get_num_threads())
        self._graph: SplitGraph | None = graph

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the graph once; see :class:`edgeblend.runtime.backends.base.Session`."""
        if self._graph is None:
            raise EngineError("this session was closed")
        tensors = [
            torch.from_numpy(np.require(inputs[spec.name], requirements=["C", "W"])).to(self._device)
            for spec in self._graph.inputs
        ]
        # An exporter that traces in another thread switches kernels of torch for the whole process.
        with one_at_a_time(), torch.inference_mode():
            outputs = self._graph.module(*tensors)
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        names = [spec.name for spec in self._graph.outputs]
        return {name: output.cpu().numpy() for name, output in zip(names, outputs, strict=True)}

    def fork(self) -> TorchSession:
        """Return a session over the same network."""
        if self._graph is None:
            raise EngineError("this session was closed")
        return TorchSession(self._graph, self._device)

    def close(self) -> None:
        """Let go of the network."""
        self._graph = None
