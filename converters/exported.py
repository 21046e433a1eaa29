"""What an exporter or a quantizer has written: files, and the tensors as they really are in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeblend.bundle import describe_file
from edgeblend.manifest import GraphPrecision, GraphSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class ExportedGraph:
    """One graph in files."""

    files: tuple[Path, ...]
    """The one that an engine opens comes first."""
    inputs: tuple[TensorSpec, ...]
    """In the order of the split graph's."""
    outputs: tuple[TensorSpec, ...]

    def spec(self, target_format: str, precision: GraphPrecision) -> GraphSpec:
        """Return what the manifest says of it."""
        return GraphSpec(
            format=target_format,
            precision=precision,
            files=tuple(describe_file(file) for file in self.files),
            inputs=self.inputs,
            outputs=self.outputs,
        )
