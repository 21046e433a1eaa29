"""Which packages edgeblend needs for what, by its own metadata, and which of them are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

_PACKAGE = "edgeblend"
_NOT_FOR_USERS = frozenset({"all", "dev", "docs"})
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(\[[^]]*\])?\s*\(?(?P<needs>[^;)]*)\)?\s*"
    r"(;.*extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"])?"
)
_BOUND = re.compile(r"(?P<relation>==|>=|<=|!=|<|>)\s*(?P<release>\d+(\.\d+)*)$")


@dataclass(frozen=True, slots=True)
class RequiredPackage:
    """A package that edgeblend needs, for everything or for some extras."""

    name: str
    needs: str
    """Versions that are needed, such as ``>=3.4,<3.5``; empty where any will do."""
    extras: tuple[str, ...]
    """Extras that need the package; empty where edgeblend itself does."""
    installed: str | None
    """Installed version; None where the package is missing."""
    satisfied: bool | None
    """Whether the installed version is one of those needed; None where that is unknown."""


def required_packages() -> list[RequiredPackage]:
    """Return them in the order of the metadata; none where edgeblend runs without having been installed."""
    try:
        lines = requires(_PACKAGE) or []
    except PackageNotFoundError:
        return []
    needs: dict[str, dict[str, None]] = {}
    extras: dict[str, list[str]] = {}
    for found in filter(None, map(_REQUIREMENT.match, lines)):
        name, extra = found["name"], found["extra"]
        if name == _PACKAGE or extra in _NOT_FOR_USERS:
            continue
        bounds = (part.strip() for part in found["needs"].split(","))
        needs.setdefault(name, {}).update(dict.fromkeys(filter(None, bounds)))
        extras.setdefault(name, []).extend([extra] if extra else [])
    return [_look(name, sorted(bounds), tuple(extras[name])) for name, bounds in needs.items()]


def satisfies(installed: str, bounds: list[str]) -> bool | None:
    """Return whether a version is within all bounds such as ``>=3.4``; None where one is of another kind.

    Only the release counts, which is its numbers up to the first other character: ``2.13.0+cpu`` is 2.13.0.
    """
    release = re.match(r"\d+(\.\d+)*", installed)
    matched = [_BOUND.match(bound) for bound in bounds]
    if release is None or None in matched:
        return None
    actual = _numbers(release[0])
    return all(_holds(actual, found["relation"], _numbers(found["release"])) for found in matched if found)


def _look(name: str, bounds: list[str], extras: tuple[str, ...]) -> RequiredPackage:
    try:
        installed = version(name)
    except PackageNotFoundError:
        return RequiredPackage(name, ",".join(bounds), extras, None, None)
    return RequiredPackage(name, ",".join(bounds), extras, installed, satisfies(installed, bounds))


def _numbers(release: str) -> tuple[int, ...]:
    numbers = [int(part) for part in release.split(".")]
    while numbers and numbers[-1] == 0:  # 3.4 is 3.4.0
        numbers.pop()
    return tuple(numbers)


def _holds(actual: tuple[int, ...], relation: str, bound: tuple[int, ...]) -> bool:
    return {
        "==": actual == bound,
        "!=": actual != bound,
        ">=": actual >= bound,
        "<=": actual <= bound,
        ">": actual > bound,
        "<": actual < bound,
    }[relation]
