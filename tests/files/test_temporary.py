"""Temporary folders that do not stay where their process was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgeblend.files import temporary
from edgeblend.files.temporary import PREFIX, TemporaryFolder, remove_abandoned

pytest.importorskip("fcntl")

HOLDER = """
import sys
from edgeblend.files.temporary import TemporaryFolder
held = TemporaryFolder()
open(held.name + "/file", "w").close()
print(held.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def names(place):
    return sorted(path.name for path in place.iterdir())


def test_it_goes_with_the_block_and_with_the_object(place):
    with TemporaryFolder() as folder:
        assert Path(folder).parent == place and Path(folder).is_dir()
        (Path(folder) / "file").touch()
    assert names(place) == []
    kept = TemporaryFolder()
    assert names(place) == [Path(kept.name).name]
    kept.cleanup()
    assert names(place) == []


def test_one_of_a_process_that_was_killed_goes_with_the_next(place):
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        held = Path(process.stdout.readline().rstrip("\n"))
        with TemporaryFolder() as other:
            assert names(place) == sorted([held.name, Path(other).name])  # a process that lives keeps its own
        process.kill()
    assert names(place) == [held.name]
    with TemporaryFolder() as other:
        assert names(place) == [Path(other).name]


def test_one_of_this_process_stays(place):
    with TemporaryFolder() as first, TemporaryFolder() as second:
        remove_abandoned()
        assert names(place) == sorted([Path(first).name, Path(second).name])


@pytest.mark.parametrize("name", ["edgeblend-work", f"{PREFIX}mine", f"{PREFIX}abcd1234.txt"])
def test_what_has_another_name_stays(place, name):
    (place / name).mkdir()
    (place / f"{PREFIX}abcd1234").mkdir()
    remove_abandoned()
    assert names(place) == [name]


def test_a_file_and_a_link_stay(place):
    (place / f"{PREFIX}abcd1234").touch()
    (place / "target").mkdir()
    (place / f"{PREFIX}abcd5678").symlink_to(place / "target")
    remove_abandoned()
    assert len(names(place)) == 3


def test_one_that_is_taken_for_abandoned_before_it_is_locked_is_made_again(place, monkeypatch):
    genuine, made = tempfile.mkdtemp, []

    def make(**options):
        folder = genuine(**options)
        made.append(folder)
        if len(made) == 1:
            remove_abandoned()
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", make)
    with TemporaryFolder() as folder:
        assert Path(folder).is_dir()
    assert len(made) == 2 and folder == made[1]


def test_without_locks_it_is_an_ordinary_one(place, monkeypatch):
    monkeypatch.setattr(temporary, "_lock", lambda path, exclusive: None)
    with TemporaryFolder() as first, TemporaryFolder() as second:
        assert len(names(place)) == 2 and first != second
    assert names(place) == []


def test_what_cannot_be_removed_is_no_error(place, monkeypatch):
    def refuse(*given, **options):
        raise PermissionError(13, os.strerror(13))

    with monkeypatch.context() as patch, TemporaryFolder() as folder:
        (Path(folder) / "deep").mkdir()
        patch.setattr(os, "rmdir", refuse)
    assert len(names(place)) == 1
    remove_abandoned()
    assert names(place) == []


def test_no_place_is_an_error(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(FileNotFoundError):
        TemporaryFolder()
