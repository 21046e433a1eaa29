"""The machine that figures were measured on."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """What a figure of speed or memory depends on, beside the model and its engine."""

    processor: str
    cores: int
    """That this process may use."""
    system: str
    python: str


def this_machine() -> Machine:
    """Return the machine that this runs on."""
    return Machine(processor_name(), usable_cores(), platform.platform(), platform.python_version())


def processor_name() -> str:
    """Return what the processor calls itself, as far as the system says so."""
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a kernel file
                for line in lines:
                    if line.startswith("model name"):
                        return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
