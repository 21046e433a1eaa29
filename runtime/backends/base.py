"""What an engine's file must offer; :mod:`edgeblend.runtime.backends.registry` finds it.

An engine is a module (or any object) with the two functions of :class:`Backend`. Another package
registers one through the entry point group ``edgeblend.backends``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from edgeblend.manifest import GraphSpec

Precision = Literal["f32", "bf16", "f16", "engine"]
"""What a graph is computed in; ``engine`` leaves the choice to the engine, and ``info`` shows it."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How one graph is opened."""

    device: str = "CPU"
    precision: Precision = "f32"
    threads: int | None = None
    """CPU threads; None leaves it to the engine."""
    streams: int = 1
    """Runs to compute at the same time, sharing the threads: more frames a second, each of them later."""
    cache_dir: Path | None = None
    """Where the engine may keep compiled graphs; None: nowhere."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Passed on to the engine as they are."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What actually runs, as the engine itself reports it."""

    engine: str
    """Name and version."""
    device: str
    """Device identifier."""
    device_name: str
    """Such as the processor's name."""
    precision: str
    """What the graph is computed in, such as ``f32``; ``int8+f32``: layers in INT8, the rest in float32."""
    threads: int | None
    """CPU threads; None where that means nothing."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device that an engine can see."""

    device: str
    name: str
    precisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine that is installed on this machine."""

    version: str
    devices: tuple[DeviceInfo, ...]


class Session(Protocol):
    """One graph, compiled for one device."""

    @property
    def info(self) -> SessionInfo:
        """What actually runs."""

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the graph once.

        Args:
            inputs: arrays by physical tensor name, in the layout and dtype of the manifest.

        Returns:
            Outputs by physical tensor name, as the manifest describes them too
            (:mod:`edgeblend.runtime.tensors` says what they mean): views that the next ``run`` overwrites.
        """

    def fork(self) -> Session:
        """Return another session over the same compiled graph, which can run at the same time as this one.

        Each is closed on its own. Sessions that are already running do not hinder it.

        Raises:
            EngineError: this one was closed.
        """

    def close(self) -> None:
        """Release the engine's memory; the session cannot run afterwards."""


class Backend(Protocol):
    """One engine.

    It may also have ``FORMATS``, a tuple: it opens graphs of these formats whichever engine a bundle was
    made for, when asked for by name.
    """

    def open_session(self, graph: GraphSpec, files: Sequence[Path], options: EngineOptions) -> Session:
        """Compile a graph.

        Raises:
            EngineError: the device is not there, or does not take the graph or the options.
        """

    def engine_info(self) -> EngineInfo:
        """Return the version and the devices of the engine."""
