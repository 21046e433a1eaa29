"""The machine that figures were measured on."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from edgeblend.runtime.backends.processor import processor_name
from edgeblend.runtime.backends.processor import usable_cores as usable_cores  # what engines take

_X86 = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "BF16": {"avx512_bf16", "amx_bf16"},
    "AMX": {"amx_tile"},
}
_ARM = {
    "NEON": {"asimd", "neon"},
    "FP16": {"asimdhp"},
    "DotProd": {"asimddp"},
    "I8MM": {"i8mm"},
    "BF16": {"bf16"},
    "SVE": {"sve"},
}
"""What makes networks fast, and the kernel's names of it, of which one is enough."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a figure of speed or memory depends on, beside the model and its engine."""

    processor: str
    cores: int
    """Number of cores that this process may use."""
    system: str
    python: str


def this_machine() -> Machine:
    """Return the machine that this runs on."""
    return Machine(processor_name(), usable_cores(), platform.platform(), platform.python_version())


def processor_features() -> dict[str, bool]:
    """Return whether the processor has what makes networks fast; empty where the system does not tell."""
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a kernel file
                return features_of(lines)
        except OSError:
            pass
    return {}


def features_of(cpuinfo: Iterable[str]) -> dict[str, bool]:
    """Return the same from the lines of ``/proc/cpuinfo``: the first core speaks for all."""
    for line in cpuinfo:
        key, _, value = line.partition(":")
        listed = {"flags": _X86, "Features": _ARM}.get(key.strip())
        if listed is not None:
            found = set(value.split())
            return {name: bool(names & found) for name, names in listed.items()}
    return {}
