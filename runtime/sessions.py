"""A bundle's graphs, opened on an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TypeVar, get_args

from edgeblend.bundle import Bundle
from edgeblend.errors import EngineError, InputError
from edgeblend.manifest import Part
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.runtime.backends.base import Backend, CompiledSession, EngineOptions, Precision, Session
from edgeblend.runtime.backends.registry import BACKENDS, backend_names, load_backend
from edgeblend.runtime.graph_check import check_graphs

_Option = TypeVar("_Option", bound=str)
_PARTS: tuple[Part, ...] = get_args(Part)


@warnings_are_no_errors()
def open_sessions(
    bundle: Bundle,
    *,
    backend: str | None = None,
    device: str | Mapping[Part, str] = "CPU",
    precision: Precision | Mapping[Part, Precision] = "f32",
    threads: int | None = None,
    streams: int = 1,
    cache_dir: str | Path | None = None,
    properties: Mapping[str, str] | None = None,
) -> dict[Part, Session]:
    """Open every graph of a bundle on an engine, or none.

    Options and errors are those of :meth:`Segmenter.load`. What engines report of the graphs is held against
    the manifest before a frame comes.
    """
    options = engine_options(
        backend=backend,
        device=device,
        precision=precision,
        threads=threads,
        streams=streams,
        cache_dir=cache_dir,
        properties=properties,
    )
    engine = _engine(bundle, bundle.manifest.target if backend is None else backend)
    sessions: dict[Part, CompiledSession] = {}
    with ExitStack() as opened:
        for part, graph in bundle.manifest.graphs.items():
            sessions[part] = engine.open_session(graph, bundle.graph_files(part), options[part])
            opened.callback(sessions[part].close)
        check_graphs(bundle, sessions)
        opened.pop_all()
    return dict(sessions)


@warnings_are_no_errors()
def fork_sessions(sessions: Mapping[Part, Session]) -> dict[Part, Session]:
    """Return sessions over the same graphs that can run at the same time, one per session, or none."""
    forks: dict[Part, Session] = {}
    with ExitStack() as opened:
        for part, session in sessions.items():
            forks[part] = session.fork()
            opened.callback(forks[part].close)
        opened.pop_all()
    return forks


def close_sessions(sessions: Mapping[Part, Session]) -> None:
    """Close every session, also when one of them raises; what it raised comes after."""
    with ExitStack() as opened:
        for session in sessions.values():
            opened.callback(session.close)


def engine_options(
    *,
    backend: str | None = None,
    device: str | Mapping[Part, str] = "CPU",
    precision: Precision | Mapping[Part, Precision] = "f32",
    threads: int | None = None,
    streams: int = 1,
    cache_dir: str | Path | None = None,
    properties: Mapping[str, str] | None = None,
) -> dict[Part, EngineOptions]:
    """Return the options of each graph; what a certain engine refuses shows when it opens a bundle.

    Raises:
        InputError: an option is one that no engine takes.
    """
    if backend is not None and not isinstance(backend, str):
        raise InputError(f"backend: got {backend!r}; give an engine's name, or None")
    return {
        part: EngineOptions(
            device=_of_part(device, part, "device"),
            precision=_of_part(precision, part, "precision"),
            threads=threads,
            streams=streams,
            cache_dir=_cache_folder(cache_dir),
            properties={} if properties is None else properties,
        )
        for part in _PARTS
    }


def _cache_folder(given: object) -> Path | None:
    if given is None:
        return None
    if not isinstance(given, str | PathLike) or given == "":
        raise InputError(f"cache_dir: got {given!r}; give the path of a folder, or None")
    return Path(given)


def _engine(bundle: Bundle, name: str) -> Backend:
    """Return the engine that a bundle was made for, or another that opens its format."""
    target = bundle.manifest.target
    if target == "ethos-u" and name == target:
        name = "tflite"  # whose delegate drives it
    elif name == target:
        return load_backend(name)
    if name in backend_names():
        engine = load_backend(name)
        formats = getattr(engine, "FORMATS", ())
        if all(graph.format in formats for graph in bundle.manifest.graphs.values()):
            return engine
    advice = f"convert the checkpoint with target {name!r}" if name in BACKENDS else "leave the engine out"
    raise EngineError(f"{bundle.path}: made for {target!r}, not for {name!r}; {advice}")


def _of_part(option: _Option | Mapping[Part, _Option], part: Part, name: str) -> _Option:
    if not isinstance(option, Mapping):
        return option
    if part not in option:
        raise InputError(f"{name} names {_listed(option)}, but not the part {part!r}")
    if unknown := option.keys() - set(_PARTS):
        raise InputError(f"{name} names {_listed(unknown)}; the parts are {_listed(_PARTS)}")
    return option[part]


def _listed(parts: Sequence[object] | Mapping[Part, str] | set[Part]) -> str:
    return ", ".join(sorted(map(str, parts))) or "no part"
