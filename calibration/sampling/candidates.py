"""The few of many that spread widest, found while they pass by, in bounded memory.

Farthest first (Gonzalez 1985, "Clustering to minimize the maximum intercluster distance") takes, again and
again, what differs most from everything taken. It needs all at hand, so a bounded pool of candidates is kept
for it, much as Charikar et al. do (1997, "Incremental clustering and dynamic information retrieval"): a pool
that overflows is thinned, and from then on takes only what differs from all in it by more than anything that
was thinned out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.sampling.descriptor import CELLS, NEAR_DUPLICATE, Descriptors, differences

POOL_FACTOR = 2
"""Candidates at most, as a multiple of what is to be chosen; thinning leaves half of them. Factors of 4 and 8
covered 6,000 pictures no better with 300 of them, and copies of a generator's frames would take more disk."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that may be chosen, without its picture."""

    index: int
    name: str
    digest: bytes
    """See :meth:`edgeblend.calibration.data.frames.Frame.digest`."""


class Candidates:
    """A bounded pool of candidates."""

    def __init__(self, count: int, rng: np.random.Generator, *, drop_near_duplicates: bool) -> None:
        """Start with none.

        Args:
            count: how many are to be chosen.
            rng: decides where to start, and between equals.
            drop_near_duplicates: whether what looks like a candidate is not to become one.
        """
        self._count, self._rng, self._drop = count, rng, drop_near_duplicates
        self._items: list[Candidate] = []
        self._buffer = np.empty((16, CELLS, 4), np.float32)  # its first len(self._items) are used
        self._radius = -1.0
        """How far on the mean one must be from all candidates to become one; it only rises."""

    @property
    def indices(self) -> set[int]:
        """Descriptors of the frames in the pool."""
        return {item.index for item in self._items}

    def judge(self, descriptor: Descriptors) -> Literal["new", "near-duplicate", "covered"]:
        """Say whether something is worth adding, looks like a candidate, or is near enough to one."""
        if not self._items:
            return "new"
        largest, mean = differences(self._descriptors, descriptor)
        if self._drop and largest.min() <= NEAR_DUPLICATE:
            return "near-duplicate"
        return "new" if mean.min() > self._radius else "covered"

    def add(self, candidate: Candidate, descriptor: Descriptors) -> None:
        """Add a candidate; others may have to go."""
        size = len(self._items)
        if size == len(self._buffer):
            self._buffer = np.concatenate([self._buffer, np.empty_like(self._buffer)])
        self._buffer[size] = descriptor
        self._items.append(candidate)
        if len(self._items) > POOL_FACTOR * self._count:
            self._thin()

    def choose(self) -> list[Candidate]:
        """Return ``count`` candidates that spread widest, by ascending index; all where there are no more."""
        taken, _ = farthest_first(self._descriptors, self._count, self._rng)
        return sorted((self._items[position] for position in taken), key=lambda item: item.index)

    @property
    def _descriptors(self) -> Descriptors:
        return self._buffer[: len(self._items)]

    def _thin(self) -> None:
        taken, self._radius = farthest_first(self._descriptors, POOL_FACTOR * self._count // 2, self._rng)
        kept = sorted(taken.tolist())
        self._buffer[: len(kept)] = self._buffer[kept]
        self._items = [self._items[position] for position in kept]


def farthest_first(
    descriptors: Descriptors, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], float]:
    """Choose some that spread widest.

    Args:
        descriptors: (N, 64, 4).
        count: how many; all, where there are no more.
        rng: decides where to start, and between equals.

    Returns:
        The positions of the chosen in the order they were taken, and by how much the one of the others that
        differs most from all of these does so, on the mean; 0 where there are no others.
    """
    order = rng.permutation(len(descriptors))
    shuffled = descriptors[order]
    nearest = np.full(len(order), np.inf, np.float32)
    taken: list[int] = []
    for _ in range(min(count, len(order))):
        taken.append(int(nearest.argmax()))  # of equals the first
        nearest = np.minimum(nearest, differences(shuffled, shuffled[taken[-1]])[1])
        nearest[taken[-1]] = -1  # below all others, copies too
    return order[taken], float(nearest.max(initial=0, where=nearest >= 0))
