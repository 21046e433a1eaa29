"""A bundle's graphs, opened on an engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, get_args

from edgeblend.bundle import Bundle
from edgeblend.choices import check_choice
from edgeblend.errors import EngineError, InputError
from edgeblend.manifest import Part
from edgeblend.runtime.backends.base import Backend, EngineOptions, Precision, Session
from edgeblend.runtime.backends.registry import backend_names, load_backend

_Option = TypeVar("_Option", bound=str)


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
    """Open every graph of a bundle on an engine; options and errors are those of :meth:`Segmenter.load`."""
    check_engine_options(precision, threads, cache_dir, streams)
    engine = _engine(bundle, backend or bundle.manifest.target)
    sessions: dict[Part, Session] = {}
    for part, graph in bundle.manifest.graphs.items():
        options = EngineOptions(
            device=_of_part(device, part, "device"),
            precision=_of_part(precision, part, "precision"),
            threads=threads,
            streams=streams,
            cache_dir=Path(cache_dir) if cache_dir is not None else None,
            properties=properties or {},
        )
        sessions[part] = engine.open_session(graph, bundle.graph_files(part), options)
    return sessions


def check_engine_options(
    precision: Precision | Mapping[Part, Precision],
    threads: int | None = None,
    cache_dir: str | Path | None = None,
    streams: int = 1,
) -> None:
    """Refuse options that no engine takes; what a certain engine refuses shows when it opens a bundle.

    Raises:
        InputError: a precision is unknown, there are no threads or streams, or the cache's folder is a file.
    """
    for name in precision.values() if isinstance(precision, Mapping) else [precision]:
        check_choice("precision", name, get_args(Precision))
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    if streams < 1:
        raise InputError(f"streams must be at least 1, got {streams}")
    if cache_dir is not None and Path(cache_dir).is_file():
        raise InputError(f"{cache_dir}: is a file; compiled graphs need a folder to be kept in")


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
    raise EngineError(
        f"{bundle.path}: made for {target!r}, not for {name!r}; convert the checkpoint with target {name!r}"
    )


def _of_part(option: _Option | Mapping[Part, _Option], part: Part, name: str) -> _Option:
    if not isinstance(option, Mapping):
        return option
    if part not in option:
        raise InputError(f"{name} names {', '.join(option) or 'no part'}, but not the part {part!r}")
    return option[part]
