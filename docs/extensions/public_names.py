"""The public names of edgeblend, read from the code: what the API reference lists."""

from __future__ import annotations

import inspect
import pkgutil
import types
import typing
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

import edgeblend

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Convert", ("convert", "convert_for_ethos_u", "lint_for_npu", "Bundle")),
    ("Quantize", ("quantize", "measure_sensitivity", "Recipe")),
    ("Run", ("Segmenter", "Instances", "Instance", "read_image")),
    ("Measure", ("evaluate", "EvaluationReport", "compare", "bench", "BenchReport", "Setup")),
    ("Train", ("train", "TrainingOptions", "Augmentation")),
)
"""How the names of ``edgeblend`` are arranged; names that are in no group follow under "More"."""


_FOR_ENGINES = ("edgeblend.runtime.backends.base", "Backend")
"""What the module of an engine package offers."""


def public_modules() -> list[str]:
    """Return the modules with an ``__all__``: ``edgeblend``, and those that lie directly in it."""
    inner = sorted(f"edgeblend.{entry.name}" for entry in pkgutil.iter_modules(edgeblend.__path__))
    mapped = [f"edgeblend.{name}" for name in ("calibration", "converters", "runtime")]
    names = ["edgeblend", *sorted({*inner, *mapped})]
    return [name for name in names if hasattr(import_module(name), "__all__")]


def public_names(module: str) -> dict[str, Any]:
    """Return what a module offers, by name, in the order of its ``__all__``."""
    there = import_module(module)
    return {name: getattr(there, name) for name in there.__all__}


def grouped_names() -> list[tuple[str, list[str]]]:
    """Return the names of ``edgeblend`` by group; each is in exactly one."""
    names = {name: value for name, value in public_names("edgeblend").items() if name != "__version__"}
    errors = [name for name, value in names.items() if _is_error(value)]
    groups = [(title, [name for name in members if name in names]) for title, members in GROUPS]
    listed = {name for _, members in groups for name in members}
    more = [name for name in names if name not in listed and name not in errors]
    return [group for group in (*groups, ("More", more), ("Errors", errors)) if group[1]]


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


@cache
def data_types() -> tuple[str, ...]:
    """Return where the classes lie that public names take or return, and that are not public by name."""
    public = [value for module in public_modules() for value in public_names(module).values()]
    known = {id(value) for value in public}
    backend = getattr(import_module(_FOR_ENGINES[0]), _FOR_ENGINES[1])
    found: dict[str, type] = {".".join(_FOR_ENGINES): backend}
    waiting = [*public, backend]
    while waiting:
        for mentioned in _mentioned(waiting.pop()):
            place = f"{mentioned.__module__}.{mentioned.__qualname__}"
            if place.startswith("edgeblend.") and id(mentioned) not in known and place not in found:
                found[place] = mentioned
                waiting.append(mentioned)
    return tuple(sorted(found, key=lambda place: (place.rpartition(".")[2].lower(), place)))


def _mentioned(value: object) -> Iterator[type]:
    """Yield every class in the annotations of a function, or of a class and its public methods."""
    if isinstance(value, type):
        for member in (value, *_public_members(value)):
            yield from _classes(_hints(member).values())
    elif callable(value) and not typing.get_origin(value):
        yield from _classes(_hints(value).values())


def _public_members(value: type) -> Iterator[object]:
    for name, member in inspect.getmembers_static(value):
        if name.startswith(("_", "test_")) and name not in ("__init__", "__call__", "__iter__"):
            continue
        plain = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(plain) and plain.__module__.startswith("edgeblend"):
            yield plain


def _hints(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a function or a class
    try:
        hints = typing.get_type_hints(value)
    except NameError:  # of a package that only type checkers import
        return {}
    return {name: hint for name, hint in hints.items() if not name.startswith("_")}


def _classes(hints: Iterable[Any]) -> Iterator[type]:
    for hint in hints:
        if isinstance(hint, type) and not isinstance(hint, types.GenericAlias):
            yield hint
        yield from _classes(arg for arg in typing.get_args(hint) if not isinstance(arg, str))
