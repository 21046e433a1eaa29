"""The engines by name: our own as data, others through entry points. Nothing is imported until asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from edgeblend.engine_packages import engine_packages
from edgeblend.errors import EngineError, MissingPackageError
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.runtime.backends.base import Backend, engine_errors


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """Where an engine of our own is driven, and how to install it."""

    module: str
    packages: tuple[str, ...]
    """The imports of which one must be there."""
    extra: str
    """The extra of edgeblend that installs it."""


BACKENDS = {
    "openvino": BackendEntry("edgeblend.runtime.backends.openvino", ("openvino",), "openvino"),
    "onnxruntime": BackendEntry("edgeblend.runtime.backends.onnxruntime", ("onnxruntime",), "onnxruntime"),
    "tflite": BackendEntry(
        "edgeblend.runtime.backends.tflite",
        ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"),
        "tflite",
    ),
}


def backend_names() -> tuple[str, ...]:
    """Return the names of all engines that could be asked for, installed or not."""
    return tuple(sorted({*BACKENDS, *engine_packages()}))


@warnings_are_no_errors()
def load_backend(name: str) -> Backend:
    """Import what drives the engine ``name``.

    Raises:
        EngineError: nobody knows the name, or what drives the engine cannot be imported.
        MissingPackageError: the engine is not installed.
    """
    if name in BACKENDS:
        return _load_own(name, BACKENDS[name])
    foreign = engine_packages()
    if name not in foreign:
        raise EngineError(f"unknown engine {name!r}; known are {', '.join(backend_names())}")
    with engine_errors(f"engine {name!r} ({foreign[name].value}) cannot be imported", _reason):
        return cast(Backend, foreign[name].load())


def _load_own(name: str, entry: BackendEntry) -> Backend:
    """Import the first of an engine's packages that is there, and what drives it."""
    problems = []
    for package in entry.packages:
        try:
            # Some look for a home folder while they are imported: OSError, KeyError or RuntimeError.
            with engine_errors(f"engine {name!r}: {package} is there, but cannot be imported", _reason):
                import_module(package)
        except EngineError as error:
            problems.append(error)
        else:
            return cast(Backend, import_module(entry.module))
    for problem in problems:
        if not isinstance(problem.__cause__, ModuleNotFoundError):
            raise problem
    missing = "; ".join(str(problem.__cause__) for problem in problems)
    raise MissingPackageError(
        f'engine {name!r} is not installed ({missing}); run `pip install "edgeblend[{entry.extra}]"`',
        name=entry.packages[0],
        extra=entry.extra,
    )


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
