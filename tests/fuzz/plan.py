"""Which cases a run has: every kind its share, mixed, so that a run that ends early has seen all kinds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .kinds import Kind

SEEDS = 1_000_000
"""Numbers that belong to one ``--seed``, so that runs with different ones share no case."""


def counts_of(kinds: Sequence[Kind], cases: int) -> dict[str, int]:
    """Return how many of the ``cases`` each kind gets, in proportion to its share; at least one."""
    total = sum(kind.share for kind in kinds)
    exact = {kind.name: cases * kind.share / total for kind in kinds}
    counts = {name: max(int(count), 1) for name, count in exact.items()}
    rest = cases - sum(counts.values())
    for name in sorted(exact, key=lambda name: exact[name] - int(exact[name]), reverse=True)[: max(rest, 0)]:
        counts[name] += 1
    return counts


def plan(kinds: Sequence[Kind], cases: int, seed: int) -> Iterator[tuple[str, int]]:
    """Yield (kind, seed) of all cases of a run, kinds mixed."""
    counts = counts_of(kinds, cases)
    order = sorted(
        (number / count, name, number) for name, count in counts.items() for number in range(count)
    )
    for _, name, number in order:
        yield name, seed * SEEDS + number
