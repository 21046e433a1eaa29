"""The formats a network can be converted to, as data; each is imported when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from torch import Tensor

from edgeblend.converters.exported import ExportedGraph
from edgeblend.converters.split import Shape, SplitGraph
from edgeblend.converters.third_party import import_one_at_a_time
from edgeblend.errors import EngineError, InputError, MissingPackageError
from edgeblend.manifest import GraphPrecision
from edgeblend.model.config import ModelConfig
from edgeblend.processes.third_party_warnings import warnings_are_no_errors

TARGETS = {
    "openvino": "edgeblend.converters.openvino.export",
    "onnxruntime": "edgeblend.converters.onnx.export",
    "tflite": "edgeblend.converters.tflite.export",
}
"""Target, which is also the engine's name, to the module that exports for it."""


class Target(Protocol):
    """What a format's module offers."""

    FORMAT: str
    """What the manifest calls the graphs' format."""
    PRECISIONS: tuple[GraphPrecision, ...]
    """How it can store weights."""
    DYNAMIC: bool
    """Whether the sides of the canvas can stay open."""

    def refusal(self, config: ModelConfig) -> str | None:
        """Say why the format cannot hold a network, if it cannot."""

    def export_graph(
        self,
        graph: SplitGraph,
        folder: Path,
        *,
        example: tuple[Tensor, ...],
        shapes: tuple[Shape, ...],
        precision: GraphPrecision,
    ) -> ExportedGraph:
        """Write one graph."""

    def tool_versions(self) -> dict[str, str]:
        """Return the versions of what exports."""


@warnings_are_no_errors()
def load_target(name: str) -> Target:
    """Import what exports to ``name``.

    Raises:
        EngineError: the target is unknown.
        MissingPackageError: what it needs is not installed.
    """
    if name not in TARGETS:
        raise EngineError(f"unknown target {name!r}; known are {', '.join(TARGETS)}")
    try:
        return cast(Target, import_one_at_a_time(TARGETS[name]))
    except ModuleNotFoundError as error:
        extra = "convert" if name == "openvino" else f"convert-{name}"
        raise MissingPackageError.for_task(f"target {name!r}", error.name, extra=extra) from error


def check_target(
    target: Target, name: str, config: ModelConfig, *, precision: GraphPrecision, dynamic: bool
) -> None:
    """Refuse what a target cannot do, before the long work.

    Raises:
        InputError: how weights are to be stored, an open canvas, or the network itself.
    """
    if precision not in target.PRECISIONS:
        raise InputError(
            f"target {name!r} stores weights as {', '.join(target.PRECISIONS)}, not as {precision}"
        )
    if dynamic and not target.DYNAMIC:
        raise InputError(
            f"target {name!r} needs a canvas of fixed size: give an input size instead of dynamic"
        )
    if reason := target.refusal(config):
        raise InputError(f"target {name!r} cannot hold {config.name}: {reason}")
