"""On what bundles ran, and with which options: what the reports of ``compare`` and ``bench`` say alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgeblend.report.figures import counted
from edgeblend.terminal.printing import as_text

if TYPE_CHECKING:
    from edgeblend.calibration.measuring.machine import Machine
    from edgeblend.calibration.measuring.setups import RunOptions
    from edgeblend.runtime.backends.base import SessionInfo


@dataclass(frozen=True, slots=True)
class Ran:
    """One thing that was measured, and what ran it."""

    name: str
    sessions: Mapping[Any, SessionInfo]
    """Engine, device and precision by graph."""
    options: RunOptions | None = None
    """Options that were asked for; None where the caller opened it."""


def engine_facts(items: Iterable[Ran]) -> list[str]:
    """Return a line that says what ran all of them, or one line for each where they differ."""
    described = {item.name: _described(item) for item in items}
    if len(set(described.values())) == 1:
        return [f"engine: {text}" for text in list(described.values())[:1]]
    return [f"engine of {name}: {text}" for name, text in described.items()]


def machine_fact(machine: Machine, features: Mapping[str, bool] | None = None) -> str:
    """Return the machine in a line, with what its processor has for networks where that is known."""
    return (
        f"machine: {machine.processor}, {counted(machine.cores, 'core')}{_features(features or {})}, "
        f"{machine.system}"
    )


def options_document(options: RunOptions) -> dict[str, Any]:
    """Return options as JSON can hold them."""
    return {
        "backend": options.backend,
        "device": as_text(options.device),
        "precision": options.precision,
        "threads": options.threads,
        "properties": {as_text(name): as_text(value) for name, value in options.properties.items()},
    }


def sessions_document(sessions: Mapping[Any, SessionInfo]) -> dict[str, Any]:
    """Return what ran each graph as JSON can hold it."""
    return {part: asdict(session) for part, session in sessions.items()}


def computed_in(sessions: Mapping[Any, SessionInfo]) -> str:
    """Return the precision of all graphs, or of each in turn where they differ."""
    return each(session.precision for session in sessions.values())


def each(values: Iterable[str]) -> str:
    """Return what all are, or each in turn where they differ."""
    return "/".join(dict.fromkeys(values))


def _described(item: Ran) -> str:
    """Return such as ``OpenVINO 2026.3.0 on CPU, 2 threads``."""
    runs = dict.fromkeys(
        f"{session.engine} on {session.device}{_threads(session.threads)}"
        for session in item.sessions.values()
    )
    properties = () if item.options is None else item.options.properties.items()
    return "; ".join(runs) + "".join(f", {name}={value}" for name, value in properties)


def _threads(count: int | None) -> str:
    return "" if count is None else f", {counted(count, 'thread')}"


def _features(features: Mapping[str, bool]) -> str:
    """Return such as ``, AVX2 (no AVX-512, VNNI)``."""
    there = [name for name, found in features.items() if found]
    lacking = [name for name, found in features.items() if not found]
    return "".join(f", {name}" for name in there) + (f" (no {', '.join(lacking)})" if lacking else "")
