"""Bundles to measure side by side, each with the options that it runs with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from edgeblend.arguments.checks import check_path
from edgeblend.arguments.choices import check_choice
from edgeblend.bundle import Bundle
from edgeblend.errors import InputError
from edgeblend.runtime.backends.base import Precision
from edgeblend.runtime.sessions import engine_options


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a bundle runs: the options of :meth:`edgeblend.Segmenter.load` of the same names."""

    backend: str | None = None
    device: str = "CPU"
    precision: Precision = "f32"
    threads: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    def as_arguments(self) -> dict[str, Any]:
        """Return them by name, as ``Segmenter.load`` and ``open_sessions`` take them."""
        return {
            "backend": self.backend,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "properties": self.properties,
        }


@dataclass(frozen=True, slots=True)
class Setup:
    """A bundle for ``bench`` or ``compare``, with options of its own.

    An option that is None is that of the call: ``bench([Setup("r50", threads=2), "r50"], threads=4)``
    measures one bundle with 2 and with 4 threads.

    Raises:
        InputError: an option's value is not valid.
    """

    bundle: str | Path | Bundle
    backend: str | None = None
    """Engine, where it is not the one that the bundle was made for."""
    device: str | None = None
    """Device of the engine, such as ``GPU``, or the path of a TFLite delegate."""
    precision: Precision | None = None
    """Precision that the graphs are computed in."""
    threads: int | None = None
    """Number of CPU threads."""
    properties: Mapping[str, str] | None = None
    """Options that are passed to the engine as they are."""
    name: str | None = None
    """Name in tables and charts. None makes one of the bundle's path and the options given here."""

    def __post_init__(self) -> None:
        path_of(self.bundle, "bundle")
        if self.precision is not None:
            check_choice("precision", self.precision, get_args(Precision))
        if self.name is not None and (not isinstance(self.name, str) or not self.name.strip()):
            raise InputError(f"name: got {self.name!r}; give a text that is not empty, or None")
        engine_options(**resolve(self, RunOptions()).as_arguments())


AnyBundle = str | Path | Bundle | Setup
"""What ``bench`` and ``compare`` take as a bundle."""


def as_setups(name: str, given: Sequence[AnyBundle]) -> list[Setup]:
    """Return what was given as setups; ``name`` is the argument's, for errors.

    Raises:
        InputError: one is neither a path nor a bundle nor a setup.
    """
    return [item if isinstance(item, Setup) else Setup(_checked(item, name)) for item in given]


def resolve(setup: Setup, shared: RunOptions) -> RunOptions:
    """Return the options that a setup runs with: its own, and those of the call where it has none."""
    return RunOptions(
        backend=shared.backend if setup.backend is None else setup.backend,
        device=shared.device if setup.device is None else setup.device,
        precision=shared.precision if setup.precision is None else setup.precision,
        threads=shared.threads if setup.threads is None else setup.threads,
        properties=shared.properties if setup.properties is None else setup.properties,
    )


def path_of(item: str | Path | Bundle, name: str = "bundle") -> Path:
    """Return where a bundle is.

    Args:
        item: the bundle, or its path.
        name: the argument's, for errors.

    Raises:
        InputError: the item is neither a bundle nor a path.
    """
    return item.path if isinstance(item, Bundle) else check_path(name, item)


def name_setups(setups: Sequence[Setup]) -> list[str]:
    """Return a name for each setup that no other one has.

    It is the setup's own name; without one the last parts of the bundle's path that tell it from the others,
    and after an ``@`` the options given with it. A name that comes again is numbered.

    Raises:
        InputError: two setups were given the same name.
    """
    named = [setup.name for setup in setups if setup.name is not None]
    if twice := [name for name, count in Counter(named).items() if count > 1]:
        raise InputError(f"name: got {twice[0]!r} for two setups; give each a name of its own")
    paths = [path_of(setup.bundle).absolute() for setup in setups]
    names: list[str] = []
    for setup, path in zip(setups, paths, strict=True):
        made = f"{_shortest_name(path, set(paths) - {path})}{_suffix(setup)}"
        names.append(made if setup.name is None else setup.name)
    return _numbered(names)


def _numbered(names: Sequence[str]) -> list[str]:
    """Return the names; one that comes again gets the first number that no other name has."""
    taken = set(names)
    seen: set[str] = set()
    numbered = []
    for name in names:
        unique, count = name, 1
        while unique in seen or (count > 1 and unique in taken):
            count += 1
            unique = f"{name} ({count})"
        seen.add(unique)
        numbered.append(unique)
    return numbered


def _shortest_name(path: Path, others: AbstractSet[Path]) -> str:
    for count in range(1, len(path.parts)):
        last = path.parts[-count:]
        if all(other.parts[-count:] != last for other in others):
            return Path(*last).as_posix()
    return path.as_posix()


def _suffix(setup: Setup) -> str:
    """Return the setup's own options as the command line takes them, such as ``@device=GPU,threads=2``."""
    own = {key: getattr(setup, key) for key in ("backend", "device", "precision", "threads")}
    given = [f"{key}={value}" for key, value in own.items() if value is not None]
    given += [f"property.{key}={value}" for key, value in (setup.properties or {}).items()]
    return f"@{','.join(given)}" if given else ""


def _checked(item: str | Path | Bundle, name: str) -> str | Path | Bundle:
    path_of(item, name)
    return item
