from pathlib import Path

import pytest

from edgeblend.cli.whole_file import check_file, write_atomically
from edgeblend.errors import OutputError


def test_a_file_is_written_and_nothing_beside_it(tmp_path):
    write_atomically(tmp_path / "a.md", b"new")
    write_atomically(tmp_path / "a.md", b"newer")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.md": b"newer"}


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "a.md").write_bytes(b"old")

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="a.md: cannot be written: disk full"):
        write_atomically(tmp_path / "a.md", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.md": b"old"}


def test_what_may_be_written(tmp_path):
    (tmp_path / "old.md").write_text("old")
    check_file(tmp_path / "new.md", overwrite=False)
    check_file(tmp_path / "old.md", overwrite=True)
    for path, words in (
        (tmp_path / "old.md", "already exists; choose another name, or pass --overwrite"),
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "new.md", "there is no folder"),
    ):
        with pytest.raises(OutputError, match=words):
            check_file(path, overwrite=False)
