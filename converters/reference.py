"""The split graphs run by torch behind the runtime's own interface.

It is what exported graphs are compared with, and what shows how torch itself would segment.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from edgeblend.converters.split import SplitGraph
from edgeblend.errors import EngineError
from edgeblend.runtime.backends.base import Array, SessionInfo


class TorchSession:
    """One split graph in eager float32 torch on the CPU."""

    def __init__(self, graph: SplitGraph) -> None:
        self.info = SessionInfo(f"torch {torch.__version__}", "CPU", "CPU", "f32", torch.get_num_threads())
        self._graph: SplitGraph | None = graph

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, NDArray[np.float32]]:
        """Run the graph once; see :class:`edgeblend.runtime.backends.base.Session`."""
        if self._graph is None:
            raise EngineError("this session was closed")
        tensors = [
            torch.from_numpy(np.require(inputs[spec.name], requirements=["C", "W"]))
            for spec in self._graph.inputs
        ]
        with torch.inference_mode():
            outputs = self._graph.module(*tensors)
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        names = [spec.name for spec in self._graph.outputs]
        return {name: output.numpy() for name, output in zip(names, outputs, strict=True)}

    def close(self) -> None:
        """Let go of the network."""
        self._graph = None
