"""The steps of the demo: said on a terminal, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Steps:
    """Says each step as it begins, with its number, and keeps how long it took."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        """Start before the first of ``total`` steps; ``say`` takes each line."""
        self.seconds: dict[str, float] = {}
        """Seconds of each step that is done, by its name."""
        self._total = total
        self._say = say

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """Say what the block does, and time it under a name."""
        self._say(f"[{len(self.seconds) + 1}/{self._total}] {what}")
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def detail(self, what: str) -> None:
        """Say a part of the step."""
        self._say(f"      {what} ...")
