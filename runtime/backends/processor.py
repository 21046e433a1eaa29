"""What the processor is called, and how many of its cores there are to compute on."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
"""The logical CPUs of one core, such as ``0,4``; what stands there is the same for each of them."""


@cache
def processor_name() -> str:
    """Return what the processor calls itself, as far as the system says so."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def usable_cpus() -> int:
    """Return how many logical CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_cores() -> int:
    """Return how many CPU cores this process may use: hyper-threads of one core count once.

    Two threads on one core wait for the same arithmetic units; engines are slower that way.
    """
    if not hasattr(os, "sched_getaffinity"):
        return usable_cpus()
    try:
        cores = {Path(_SIBLINGS.format(cpu)).read_text(encoding="ascii") for cpu in os.sched_getaffinity(0)}
    except (OSError, ValueError):  # no such folder in a container, or another kernel
        return usable_cpus()
    return len(cores)
