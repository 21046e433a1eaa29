"""The formats a network can be converted to, as data; each is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from torch import Tensor

from edgeblend.converters.split import Shape, SplitGraph
from edgeblend.errors import EngineError

TARGETS = {"openvino": "edgeblend.converters.openvino"}
"""Target, which is also the engine's name, to the module that exports for it."""


class Target(Protocol):
    """What a format's module offers."""

    FORMAT: str
    """What the manifest calls the graphs' format."""

    def export_graph(
        self,
        graph: SplitGraph,
        folder: Path,
        *,
        example: tuple[Tensor, ...],
        shapes: tuple[Shape, ...],
        half: bool,
    ) -> tuple[Path, ...]:
        """Write one graph; return its files, the one to open first."""

    def tool_versions(self) -> dict[str, str]:
        """Return the versions of what exports."""


def load_target(name: str) -> Target:
    """Import what exports to ``name``.

    Raises:
        EngineError: the target is unknown, or what it needs is not installed.
    """
    if name not in TARGETS:
        raise EngineError(f"unknown target {name!r}; known are {', '.join(TARGETS)}")
    try:
        return cast(Target, import_module(TARGETS[name]))
    except ModuleNotFoundError as error:
        raise EngineError(
            f'target {name!r} needs {error.name}; run `pip install "edgeblend[convert]"`'
        ) from error
