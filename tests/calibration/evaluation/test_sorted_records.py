"""Records come back in order, whatever they came in and however few fit into memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgeblend.calibration.evaluation import sorted_records
from edgeblend.calibration.evaluation.sorted_records import SortedRecords

DTYPE = np.dtype([("group", np.int32), ("key", np.complex128), ("value", np.int64)])


def records(*items):
    """Records as (group, real part of the key, imaginary part, value)."""
    made = np.empty(len(items), DTYPE)
    for place, (group, real, imaginary, value) in enumerate(items):
        made[place] = group, complex(real, imaginary), value
    return made


def values(store):
    return [value for some in store for value in some["value"].tolist()]


@pytest.mark.parametrize(("run", "chunk"), [(1, 1), (2, 1), (3, 2), (100, 100)])
def test_by_group_then_by_both_parts_of_the_key(monkeypatch, run, chunk):
    monkeypatch.setattr(sorted_records, "RUN", run)
    monkeypatch.setattr(sorted_records, "CHUNK", chunk)
    store = SortedRecords(DTYPE)
    assert values(store) == []
    store.add(records((1, -0.5, 2, 5), (0, -0.1, 1, 2)))
    store.add(records((1, -0.9, 9, 3), (1, -0.5, 1, 4)))
    store.add(records((0, -0.5, 1, 1)))
    assert values(store) == [1, 2, 3, 4, 5]
    store.add(records((2, -1, 0, 6)))
    assert values(store) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("scores", [1, 3, 1000], ids=["all equal", "many equal", "few equal"])
def test_many_runs(monkeypatch, scores):
    monkeypatch.setattr(sorted_records, "RUN", 64)
    monkeypatch.setattr(sorted_records, "CHUNK", 5)
    random = np.random.default_rng(scores)
    every = np.empty(1000, DTYPE)
    every["group"] = random.integers(0, 3, 1000)
    every["key"].real, every["key"].imag = random.integers(0, scores, 1000), random.permutation(1000)
    expected = np.lexsort((every["key"].imag, every["key"].real, every["group"]))
    every["value"][expected] = np.arange(1000)
    store = SortedRecords(DTYPE)
    for part in np.split(every, np.sort(random.integers(0, 1000, 60))):
        store.add(part)
    assert values(store) == list(range(1000))


def test_memory_does_not_grow(monkeypatch):
    monkeypatch.setattr(sorted_records, "RUN", 1000)
    monkeypatch.setattr(sorted_records, "CHUNK", 50)
    random = np.random.default_rng(0)

    def peak(count):
        store = SortedRecords(DTYPE)
        part = np.zeros(1000, DTYPE)
        tracemalloc.start()
        try:
            for number in range(count):
                part["key"].imag = number + count * random.permutation(1000)
                store.add(part.copy())
            assert sum(map(len, store)) == count * 1000
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert 4 * peak(40) < 40_000 * DTYPE.itemsize
