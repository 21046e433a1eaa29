"""What is kept on disk comes back bit for bit, and takes no memory."""

from __future__ import annotations

import gc
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from edgeblend.calibration.evaluation import kept
from edgeblend.calibration.evaluation.kept import KeptBytes, KeptInstances
from edgeblend.errors import OutputError
from edgeblend.results import Instances

NAMES = ("cat", "dog")
ARRAYS = ("boxes", "scores", "classes", "mask_probs", "mask_boxes")


def instances(count: int, seed: int = 0, *, names: tuple[str, ...] = NAMES) -> Instances:
    random = np.random.default_rng(seed)
    return Instances(
        boxes=random.random((count, 4), np.float32),
        scores=random.random(count, np.float32),
        classes=random.integers(0, 2, count),
        class_names=names,
        mask_probs=random.random((count, 56, 56), np.float32),
        mask_boxes=random.random((count, 4), np.float32),
        frame_size=(100 + seed, 200),
    )


def test_instances_come_back_bit_for_bit_in_any_order():
    given = [instances(count, seed) for seed, count in enumerate((3, 0, 1))]
    store = KeptInstances()
    for item in given:
        store.append(item)
    assert len(store) == 3
    for position in (2, 0, 1, -1):
        found = store[position]
        for name in ARRAYS:
            assert getattr(found, name).tobytes() == getattr(given[position], name).tobytes()
        assert (found.frame_size, found.class_names) == (given[position].frame_size, NAMES)
        assert found.category_ids == given[position].category_ids
        assert found.to_coco(1) == given[position].to_coco(1)
    assert [len(item) for item in store] == [3, 0, 1]
    assert [len(item) for item in store[1:]] == [0, 1]
    with pytest.raises(IndexError):
        store[3]


def test_appending_after_reading():
    store = KeptBytes()
    for piece in (b"one", b"", b"three"):
        store.append(piece)
        assert store[0] == b"one"
    assert list(store) == [b"one", b"", b"three"]


def test_instances_of_other_classes_are_not_mixed():
    store = KeptInstances()
    store.append(instances(1))
    with pytest.raises(ValueError, match="expected instances of the classes"):
        store.append(instances(1, names=("a", "b")))


def test_memory_does_not_grow():
    store, item = KeptInstances(), instances(20)  # 250 kB
    tracemalloc.start()
    try:
        store.append(item)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            store.append(item)
            assert len(store[-1]) == 20
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 5 * item.mask_probs.nbytes


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = KeptInstances()
    store.append(instances(1))
    file = store._pieces._file
    del store
    gc.collect()
    assert file.closed
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full(monkeypatch):
    store = KeptBytes()

    class Full:
        def __getattr__(self, name):
            raise OSError(28, "No space left on device")

    store._file = Full()
    with pytest.raises(OutputError, match="results cannot be kept there: .*No space left.*TMPDIR"):
        store.append(b"x")


def test_a_temporary_folder_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(kept.tempfile, "tempdir", str(Path(tmp_path, "nowhere")))
    with pytest.raises(OutputError, match="nowhere: results cannot be kept there"):
        KeptBytes()
