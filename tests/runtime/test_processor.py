"""How many cores there are for engines: those that this process may use, each once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeblend.runtime.backends import processor


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two cores of two hyper-threads each: 0 and 2, 1 and 3."""
    for cpu in range(4):
        (tmp_path / f"{cpu}").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    monkeypatch.setattr(processor, "_SIBLINGS", str(tmp_path / "{}"))
    return tmp_path


@pytest.mark.parametrize(
    ("allowed", "cpus", "cores"), [({0, 1, 2, 3}, 4, 2), ({0, 2}, 2, 1), ({1, 2}, 2, 2), ({3}, 1, 1)]
)
def test_hyper_threads_of_one_core_count_once(machine, allowed, cpus, cores, monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed, raising=False)
    assert processor.usable_cpus() == cpus
    assert processor.usable_cores() == cores


def test_a_system_that_does_not_tell_which_belong_together(machine, monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 7}, raising=False)
    assert processor.usable_cores() == 3


def test_a_system_without_affinity(monkeypatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processor.usable_cores() == processor.usable_cpus() == 6
