"""A module of ours run as a program of its own, and what it answers.

Such a module ends with :func:`answer`. It also calls :func:`end_with_parent`, so that it does not measure on
where nobody waits for it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from edgeblend.errors import EngineError
from edgeblend.processes.child_process import run_module

_MARK = "edgeblend answers: "
"""Engines print, too, some of them at the very end."""
_PARENT = "--parent"
_LOOKS_S = 1.0


def run_fresh(module: str, arguments: Sequence[str], *, bundle: Path) -> str:
    """Run ``python -m module --parent PID arguments`` and return what it answers.

    Args:
        module: what to run.
        arguments: for it.
        bundle: what it runs, to be named if the process is killed.

    Raises:
        EngineError: the process failed, with its own last words or its signal; or it takes too long.
    """
    try:
        done = run_module(module, [_PARENT, str(os.getpid()), *arguments])
    except TimeoutError as error:
        raise EngineError(f"{bundle}: running it in a process of its own {error}") from None
    except OSError as error:  # no memory for another process, or no interpreter
        raise EngineError(f"{bundle}: no process can be started to measure it: {error}") from error
    if done.returncode < 0:
        raise EngineError(f"{bundle}: running it ends the process with {_signal_name(-done.returncode)}")
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EngineError(words[-1])
    _, mark, rest = done.stdout.rpartition(f"\n{_MARK}")
    if not mark:
        raise EngineError(f"{bundle}: running it ends the process without a result")
    return rest.splitlines()[0]


def answer(text: str) -> None:
    """Print what :func:`run_fresh` returns: one line."""
    print(f"\n{_MARK}{text}", flush=True)  # an engine may have printed half a line before


def end_with_parent(parent: int | None) -> None:
    """End this process when another one has, which may be killed without a chance to say so."""
    if parent is None or os.name != "posix":
        return

    def watch() -> None:
        never = threading.Event()
        while os.getppid() == parent:
            never.wait(_LOOKS_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
