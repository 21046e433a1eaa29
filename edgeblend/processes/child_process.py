"""Python modules run as processes of their own, which end in time and are not left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

TIME_LIMIT_S = 3600.0
"""For one process. Compiling a large network for an accelerator takes some engines a quarter of an hour."""
_LAST_WORDS_S = 5.0
"""To read what is left of a killed process's output; what it started elsewhere may hold the pipes open."""


def run_module(
    module: str, arguments: Sequence[str], *, cwd: Path | None = None, time_limit_s: float = TIME_LIMIT_S
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module arguments`` and return how it ended, with what it printed.

    Nothing in the current folder is imported in place of a module of Python's, of ours or of a package. The
    process leads a group of its own, so a terminal's Ctrl-C reaches it through this one: all of the group is
    killed after the time limit, and when this call is interrupted.

    Args:
        module: what to run.
        arguments: for it.
        cwd: where; None: here.
        time_limit_s: seconds that it may take.

    Raises:
        TimeoutError: it took longer.
        OSError: it cannot be started.
    """
    # -P: without it Python looks for modules in the current folder first.
    command = [sys.executable, "-P", "-m", module, *arguments]
    process: subprocess.Popen[str] | None = None
    try:
        with _interrupted_later():  # not before it is known which process is to be ended
            process = _start(command, cwd)
        stdout, stderr = process.communicate(timeout=time_limit_s)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"did not end within {time_limit_s:g} seconds, and was stopped") from None
    finally:
        if process is not None and process.returncode is None:
            _kill_group(process)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _start(command: Sequence[str], cwd: Path | None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="backslashreplace",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,
    )


def _kill_group(process: subprocess.Popen[str]) -> None:
    """End a process and what it started; its last words are dropped."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_LAST_WORDS_S)


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Keep what signal handlers would raise until the block has ended.

    Only those of the main thread, which is where Python handles signals, and only handlers written in Python.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
        handlers = {number: signal.getsignal(number) for number in numbers if number is not None}
        handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in handlers:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
