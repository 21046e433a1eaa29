"""A module of ours run as a program of its own, and the last thing that it says."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeblend.errors import EngineError


def run_fresh(module: str, arguments: Sequence[str], *, bundle: Path) -> str:
    """Run ``python -m module arguments`` and return the last line that it printed.

    Args:
        module: what to run.
        arguments: for it.
        bundle: what it runs, to be named if the process is killed.

    Raises:
        EngineError: the process failed, with its own last words or its signal.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode < 0:
        raise EngineError(f"{bundle}: running it ends the process with {_signal_name(-done.returncode)}")
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EngineError(words[-1])
    return done.stdout.strip().splitlines()[-1]  # an engine may have printed something before


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
