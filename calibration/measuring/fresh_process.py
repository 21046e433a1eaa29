"""A module of ours run as a program of its own, and what it answers.

Such a module ends with :func:`answer` or :func:`refuse`. It also calls :func:`end_with_parent`, so that it
does not measure on where nobody waits for it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from edgeblend import errors
from edgeblend.errors import EdgeBlendError, EngineError
from edgeblend.files.temporary import remove_abandoned
from edgeblend.processes.child_process import run_module

_MARK = "edgeblend answers: "
"""Engines print, too, some of them at the very end."""
_REFUSAL = "edgeblend refuses: "
"""Before the name of an error of ours and its text."""
_PARENT = "--parent"
_LOOKS_S = 1.0


def run_fresh(module: str, arguments: Sequence[str], *, bundle: Path) -> str:
    """Run ``python -m module --parent PID arguments`` and return what it answers.

    Args:
        module: what to run.
        arguments: for it.
        bundle: what it runs, to be named if the process is killed.

    Raises:
        EdgeBlendError: what the process refuses with, as if it had been raised here.
        EngineError: the process failed, with its own last words or its signal; or it takes too long.
    """
    try:
        done = run_module(module, [_PARENT, str(os.getpid()), *arguments])
    except TimeoutError as error:
        raise EngineError(f"{bundle}: running it in a process of its own {error}") from None
    except OSError as error:  # no memory for another process, or no interpreter
        raise EngineError(f"{bundle}: no process can be started to measure it: {error}") from error
    finally:
        remove_abandoned()  # one that was killed had no chance to
    if done.returncode < 0:
        raise EngineError(f"{bundle}: running it ends the process with {_signal_name(-done.returncode)}")
    if done.returncode:
        raise _failure(done.stderr, done.returncode, bundle)
    _, mark, rest = done.stdout.rpartition(f"\n{_MARK}")
    if not mark:
        raise EngineError(f"{bundle}: running it ends the process without a result")
    return rest.splitlines()[0]


def _failure(stderr: str, code: int, bundle: Path) -> EdgeBlendError:
    """Return the error that a process ended with, from what it printed."""
    _, mark, refusal = f"\n{stderr}".rpartition(f"\n{_REFUSAL}")
    name, _, text = refusal.partition("\n")[0].partition(": ")
    kind = getattr(errors, name, None)
    if mark and isinstance(kind, type) and issubclass(kind, EdgeBlendError):
        return kind(text)
    words = stderr.strip().splitlines() or [f"exit code {code}"]
    return EngineError(f"{bundle}: running it in a process of its own fails: {words[-1].strip()}")


def answer(text: str) -> None:
    """Print what :func:`run_fresh` returns: one line."""
    print(f"\n{_MARK}{text}", flush=True)  # an engine may have printed half a line before


def refuse(error: EdgeBlendError) -> int:
    """Print what :func:`run_fresh` raises again; returns the exit code."""
    print(f"\n{_REFUSAL}{_kind(error).__name__}: {error}", file=sys.stderr, flush=True)
    return error.exit_code


def _kind(error: EdgeBlendError) -> type[EdgeBlendError]:
    """Return the class in :mod:`edgeblend.errors` that an error is of: others may take more than a text."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


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
