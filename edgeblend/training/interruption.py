"""Interruptions that cannot get lost.

Python raises what a signal's handler raises wherever it happens to be, and drops it where nothing can be
raised: in a finalizer, or in what runs after a fork, such as that of a process which prepares pictures.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

_Item = TypeVar("_Item")

ASKING_TO_END = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Python has a handler that raises for the first of them only; the command line has one for all."""


class Interruptible:
    """While it is entered, an interruption is remembered, and raised again should it have been dropped.

    Changes nothing outside the main thread, which is where Python handles signals, and nothing where somebody
    handles them otherwise than by raising KeyboardInterrupt.
    """

    def __init__(self) -> None:
        # Not the error itself: its traceback holds on to everything that was going on.
        self._interruption: tuple[type[KeyboardInterrupt], tuple[Any, ...]] | None = None
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in ASKING_TO_END:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if error is None:
            self.check()

    def each(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield the items, and look before each whether an interruption was dropped."""
        for item in items:
            self.check()
            yield item

    def check(self) -> None:
        """Raise an interruption that was dropped."""
        if self._interruption is not None:
            kind, arguments = self._interruption
            raise kind(*arguments)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        try:
            self._handlers[number](number, frame)
        except KeyboardInterrupt as interruption:
            self._interruption = type(interruption), interruption.args
            raise
