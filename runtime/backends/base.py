"""What an engine's file must offer; :mod:`edgeblend.runtime.backends.registry` finds it.

An engine is a module (or any object) with the two functions of :class:`Backend`. Another package
registers one through the entry point group ``edgeblend.backends``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from numpy.typing import NDArray

from edgeblend.arguments.checks import check_whole
from edgeblend.arguments.choices import check_choice
from edgeblend.errors import EdgeBlendError, EngineError, InputError
from edgeblend.files.paths import is_file
from edgeblend.manifest import GraphSpec
from edgeblend.runtime.backends.processor import usable_cores

Precision = Literal["f32", "bf16", "f16", "engine"]
"""What a graph is computed in; ``engine`` leaves the choice to the engine, and ``info`` shows it."""

Array = NDArray[Any]

MOST_THREADS = 1024
"""More than any machine that these networks are meant for; a number above it is a slip."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How one graph is opened.

    Raises:
        InputError: an option is of another type, or out of range, or the cache's folder is a file.
    """

    device: str = "CPU"
    precision: Precision = "f32"
    threads: int | None = None
    """Number of CPU threads; None takes one per core that this process may use."""
    streams: int = 1
    """Runs to compute at the same time, sharing the threads: more frames per second, each of them later."""
    cache_dir: Path | None = None
    """Where the engine may keep compiled graphs, inside ``cache_lock.cache_locked``; None: nowhere."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Properties passed to the engine unchanged."""

    def __post_init__(self) -> None:
        if not isinstance(self.device, str):
            raise InputError(f"device: got {self.device!r}; give a name, such as 'CPU'")
        check_choice("precision", self.precision, get_args(Precision))
        if self.threads is not None:
            object.__setattr__(self, "threads", check_whole("threads", self.threads, 1, MOST_THREADS))
        object.__setattr__(self, "streams", check_whole("streams", self.streams, 1, MOST_THREADS))
        _check_cache(self.cache_dir)
        _check_properties(self.properties)

    @property
    def cpu_threads(self) -> int:
        """CPU threads to compute with, all streams together: the rule of every engine."""
        return usable_cores() if self.threads is None else self.threads


def _check_cache(folder: object) -> None:
    if folder is None:
        return
    if not isinstance(folder, Path):
        raise InputError(f"cache_dir: got {folder!r}; give the path of a folder, or None")
    if is_file(folder):
        raise InputError(f"{folder}: is a file; compiled graphs need a folder to be kept in")


def _check_properties(properties: object) -> None:
    if not isinstance(properties, Mapping):
        raise InputError(f"properties: got {properties!r}; give a mapping of names to values")
    for name, value in properties.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InputError(f"properties: got {name!r}: {value!r}; names and values are strings")


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
    """CPU threads that really run, all streams together; None where that means nothing."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor that a graph takes or gives, as the engine reports it."""

    shape: tuple[int | None, ...]
    """None is a side that is open until the graph runs."""
    dtype: str
    """NumPy's name of it, such as ``float32``."""


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
            (``edgeblend.runtime.tensors`` says what they mean): views that the next ``run`` overwrites.
        """

    def fork(self) -> Session:
        """Return another session over the same compiled graph, which can run at the same time as this one.

        Each is closed on its own. Sessions that are already running do not hinder it.

        Raises:
            EngineError: this one was closed.
        """

    def close(self) -> None:
        """Release the engine's memory; the session cannot run afterwards."""


@contextmanager
def engine_errors(what: str, reason: Callable[[Exception], str]) -> Iterator[None]:
    """Turn whatever an engine raises inside into an :class:`EngineError` that has it as its cause.

    Engines and their bindings raise what their language has, and not the same in each release. Errors of our
    own pass.

    Args:
        what: what failed, such as ``TFLite cannot open detector.tflite for CPU``.
        reason: makes one line of what was raised.
    """
    try:
        yield
    except EdgeBlendError:
        raise
    except Exception as error:
        raise EngineError(f"{what}: {reason(error)}") from error


class CompiledSession(Session, Protocol):
    """A session that says what its graph takes and gives, to be held against the manifest."""

    @property
    def inputs(self) -> Mapping[str, TensorInfo]:
        """What the graph takes, by physical tensor name."""

    @property
    def outputs(self) -> Mapping[str, TensorInfo]:
        """What the graph gives, by physical tensor name."""


class Backend(Protocol):
    """One engine.

    It may also have ``FORMATS``, a tuple: it opens graphs of these formats whichever engine a bundle was
    made for, when asked for by name.
    """

    def open_session(
        self, graph: GraphSpec, files: Sequence[Path], options: EngineOptions
    ) -> CompiledSession:
        """Compile a graph.

        Raises:
            EngineError: the device is not there, or does not take the graph or the options. Whatever the
                engine itself raises becomes one, with the cause; so in :meth:`Session.run`.
        """

    def engine_info(self) -> EngineInfo:
        """Return the version and the devices of the engine."""
