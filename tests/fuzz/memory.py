"""Memory and processor time that a process takes, as Linux tells; without ``/proc`` neither is watched."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


def resident(pid: int | str = "self") -> int:
    """Return the bytes of a process that are in memory."""
    return _statm(pid)[1] * _PAGE


def cpu_seconds(pid: int | str = "self") -> float:
    """Return the processor time that a process has taken, in seconds; inf without ``/proc``."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.inf
    return (int(fields[11]) + int(fields[12])) / _TICK  # utime, stime


def address_space() -> int:
    """Return the bytes that this process has mapped."""
    return _statm("self")[0] * _PAGE


def reset_peak() -> None:
    """Let :func:`peak_memory` begin anew, where the system can; elsewhere it goes on rising."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory() -> int:
    """Return the most bytes that this process had in memory since :func:`reset_peak`."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


def _statm(pid: int | str) -> tuple[int, int]:
    """Return the pages of a process that are mapped, and those that are in memory."""
    try:
        mapped, there, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0, 0
    return int(mapped), int(there)
