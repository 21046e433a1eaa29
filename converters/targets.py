"""The targets a network can be converted to: our own as data, others through entry points.

Each is imported when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from torch import Tensor

from edgeblend.converters.opened import ExportedGraph
from edgeblend.converters.split import Shape, SplitGraph
from edgeblend.converters.third_party import import_one_at_a_time, load_registered
from edgeblend.engine_packages import registered
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

ENTRY_POINT_GROUP = "edgeblend.targets"
"""The group in which other packages register what has the members of :class:`Target`, by the target's name.

Verifying runs the exported graphs, so an engine of the same name is needed in ``edgeblend.backends``."""


class Target(Protocol):
    """What a target's module offers."""

    FORMAT: str
    """The manifest's name of the graphs' format."""
    PRECISIONS: tuple[GraphPrecision, ...]
    """The precisions that weights can be stored in."""
    DYNAMIC: bool
    """Whether the canvas can follow each frame."""

    def refusal(self, config: ModelConfig) -> str | None:
        """Return why the format cannot hold a network, or None where it can."""

    def export_graph(
        self,
        graph: SplitGraph,
        folder: Path,
        *,
        example: tuple[Tensor, ...],
        shapes: tuple[Shape, ...],
        precision: GraphPrecision,
    ) -> ExportedGraph:
        """Write one graph into a folder, and return its files and tensors as they are in them.

        Args:
            graph: the torch module, with the names of its inputs and outputs in order.
            folder: where the files go.
            example: inputs to trace the module with.
            shapes: the shape of each input; None is a side that stays open.
            precision: how weights are stored; one of ``PRECISIONS``.

        Raises:
            ConversionError: the graph cannot be exported.
        """

    def tool_versions(self) -> dict[str, str]:
        """Return the versions of what exports."""


def target_names() -> tuple[str, ...]:
    """Return the names of all targets, installed or not."""
    return (*TARGETS, *(name for name in sorted(registered(ENTRY_POINT_GROUP)) if name not in TARGETS))


@warnings_are_no_errors()
def load_target(name: str) -> Target:
    """Import what exports to ``name``.

    Raises:
        EngineError: the target is unknown, or cannot be imported.
        MissingPackageError: what it needs is not installed.
    """
    if name not in TARGETS:
        others = registered(ENTRY_POINT_GROUP)
        if name not in others:
            raise EngineError(f"unknown target {name!r}; known are {', '.join(target_names())}")
        return cast(Target, load_registered(others[name], "target", Target))
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
