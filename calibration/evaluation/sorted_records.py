"""Records sorted on disk: memory stays the same however many there are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.kept import KeptBytes

RUN = 1 << 16
"""Records sorted in memory at a time."""
CHUNK = 1 << 11
"""Records of each run that are in memory while runs are merged."""

Records = NDArray[np.void]
"""(N,) of fields, of which ``group`` and then ``key`` say the order; no two are equal in both."""


class SortedRecords:
    """Takes records in any order and gives them back in theirs: an external merge sort."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        """Start without records.

        Raises:
            OutputError: the temporary folder cannot be written.
        """
        self._dtype = dtype
        self._pieces = KeptBytes()
        self._runs: list[range] = []
        self._waiting: list[Records] = []

    def add(self, records: Records) -> None:
        """Take records.

        Raises:
            OutputError: the disk is full.
        """
        self._waiting.append(records)
        if sum(map(len, self._waiting)) >= RUN:
            self._store()

    def __iter__(self) -> Iterator[Records]:
        """Yield all records in order, some at a time.

        Raises:
            OutputError: the disk is full.
        """
        if self._waiting:
            self._store()
        unread = list(self._runs)
        heads = [np.empty(0, self._dtype) for _ in unread]
        while True:
            for number, head in enumerate(heads):
                if not len(head) and unread[number]:
                    heads[number] = np.frombuffer(self._pieces[unread[number][0]], self._dtype)
                    unread[number] = unread[number][1:]
            if not any(map(len, heads)):
                return
            # Up to here everything is in memory: a run that goes on does so after the end of its head.
            ends = [head[-1:] for head, more in zip(heads, unread, strict=True) if more]
            end = _in_order(np.concatenate(ends))[0] if ends else None
            counts = [len(head) if end is None else _count_up_to(end, head) for head in heads]
            yield _in_order(np.concatenate([head[:count] for head, count in zip(heads, counts, strict=True)]))
            heads = [head[count:] for head, count in zip(heads, counts, strict=True)]

    def _store(self) -> None:
        """Write what waits as a run."""
        run = _in_order(np.concatenate(self._waiting))
        self._waiting = []
        first = len(self._pieces)
        for start in range(0, len(run), CHUNK):
            self._pieces.append(run[start : start + CHUNK].tobytes())
        self._runs.append(range(first, len(self._pieces)))


def _in_order(records: Records) -> Records:
    key = records["key"]
    ordered: Records = records[np.lexsort((key.imag, key.real, records["group"]))]
    return ordered


def _count_up_to(end: np.void, records: Records) -> int:
    """Return how many come before a record or are it."""
    group, key = records["group"], records["key"]
    return int(np.count_nonzero((group < end["group"]) | ((group == end["group"]) & (key <= end["key"]))))
