"""Functions timed in turns, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeblend.calibration.measuring.machine import this_machine

_TURN_MS = 5.0
"""A function's turn, at least: short ones are called several times, or each would find the caches as the
others left them, and threads of theirs still waiting actively for more to do."""


def time_in_turns(
    functions: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: int = 2
) -> dict[str, float]:
    """Return the median milliseconds of each function's calls; the first ``warm_up`` rounds do not count."""
    timings: dict[str, list[float]] = {name: [] for name in functions}
    for turns in _rounds(functions, rounds, warm_up, 0):
        for name, calls in turns.items():
            timings[name] += calls
    return {name: round(statistics.median(values), 3) for name, values in timings.items()}


def turns_of(
    functions: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: int = 2, untimed: int = 0
) -> dict[str, list[float]]:
    """Return the median milliseconds of each function's turns, round by round.

    The first ``warm_up`` rounds do not count, nor do the first ``untimed`` calls of a turn: what is large
    finds the caches, and the system's idea of what memory is in use, as the others left them.
    """
    turns: dict[str, list[float]] = {name: [] for name in functions}
    for taken in _rounds(functions, rounds, warm_up, untimed):
        for name, calls in taken.items():
            turns[name].append(statistics.median(calls))
    return turns


def _rounds(
    functions: Mapping[str, Callable[[], object]], rounds: int, warm_up: int, untimed: int
) -> Iterator[dict[str, list[float]]]:
    for number in range(warm_up + rounds):
        taken = {}
        for name, function in functions.items():
            for _ in range(untimed):
                function()
            taken[name] = _turn(function)
        if number >= warm_up:
            yield taken


def _turn(function: Callable[[], object]) -> list[float]:
    calls: list[float] = []
    while sum(calls) < _TURN_MS:
        start = time.perf_counter()
        function()
        calls.append((time.perf_counter() - start) * 1e3)
    return calls


def machine() -> dict[str, Any]:
    """Return the machine, and which vector instructions it has."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    flags = next((line.split(":")[1].split() for line in info.splitlines() if line.startswith("flags")), [])
    wanted = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    return {**asdict(this_machine()), "flags": [flag for flag in wanted if flag in flags]}
