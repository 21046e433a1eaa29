"""The lock around what third parties only do for one thread at a time.

Exporters and quantization toolkits trace, patch classes and switch logging for the whole process. Two threads
in them at once break each other. Every call into one of them holds this lock, so that they take turns.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the process-wide lock of exporters and toolkits; a thread that holds it may take it again."""
    with _lock:
        yield
