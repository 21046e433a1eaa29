"""What third parties warn of is no error of ours, even where ``python -W error`` makes errors of warnings.

Exporters and engines warn of what they themselves will change. Their warnings would end a conversion, or what
they catch of them would make them do something else.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_inside = 0
_before = ExitStack()


@contextmanager
def warnings_are_no_errors() -> Iterator[None]:
    """Have warnings that would be raised shown instead, for as long as anybody is in such a block.

    Filters are of the whole process: the first who enters changes them, the last who leaves puts them back.
    Where nothing makes errors of warnings they are left alone. Also a decorator of functions.
    """
    global _inside
    with _lock:
        if _inside == 0:
            _before.enter_context(_without_errors())
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _before.close()


@contextmanager
def _without_errors() -> Iterator[None]:
    raising = [entry for entry in warnings.filters if entry[0] == "error"]
    if not raising:
        yield
        return
    with warnings.catch_warnings():
        for _, message, category, module, line in reversed(raising):
            for kind in category if isinstance(category, tuple) else (category,):
                warnings.filterwarnings("default", _pattern(message), kind, _pattern(module), line)
        yield


def _pattern(entry: re.Pattern[str] | str | None) -> str:
    """Return the text of a filter's pattern, which is compiled, or a name where it came with ``-W``."""
    if entry is None:
        return ""
    return entry if isinstance(entry, str) else entry.pattern
