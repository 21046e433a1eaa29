"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever it happens to be, and drops it where nothing can be raised: in a
finalizer, or in what runs after a fork, such as that of a process which prepares pictures.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Self, TypeVar

_Item = TypeVar("_Item")


class Interruptible:
    """While it is entered, an interruption is remembered, and raised again should it have been dropped.

    Changes nothing outside the main thread, which is where Python handles signals, and nothing where somebody
    handles them otherwise than by raising.
    """

    def __init__(self) -> None:
        self._interrupted = False
        self._entered = False

    def __enter__(self) -> Self:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._remember)
            self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if error is None:
            self.check()

    def each(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield the items, and look before each whether an interruption was dropped."""
        for item in items:
            self.check()
            yield item

    def check(self) -> None:
        """Raise KeyboardInterrupt if one was dropped."""
        if self._interrupted:
            raise KeyboardInterrupt

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        signal.default_int_handler(number, frame)
