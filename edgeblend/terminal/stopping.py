"""Signals that ask a command to end. It then ends as after Ctrl-C: what is half-written goes."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ASKING = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}
"""Ctrl-C; ``docker stop``, ``systemctl stop``, ``timeout``; a terminal that is closed."""
_IMPATIENCE_S = 5.0


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)

    @property
    def exit_code(self) -> int:
        """Exit code that a shell reports for a process that the signal has ended."""
        return 128 + self.number

    def __str__(self) -> str:
        return _ASKING[signal.Signals(self.number).name]


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise :class:`Stopped` where a signal asks to end.

    Somebody who asks again within seconds is impatient, and does not interrupt the cleaning up; later it is
    raised again, should it have been dropped. Changes nothing outside the main thread, which is where Python
    handles signals, and nothing that somebody else handles or, such as ``nohup``, ignores.
    """
    asked = -math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        before, asked = asked, time.monotonic()
        if asked - before > _IMPATIENCE_S:
            raise Stopped(number)

    found = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in _ASKING if hasattr(signal, name)]
        found = {number: signal.getsignal(number) for number in numbers}
    ours = {n: h for n, h in found.items() if h in (signal.SIG_DFL, signal.default_int_handler)}
    try:
        for number in ours:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
