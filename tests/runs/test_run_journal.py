"""The journal of a run: lines are whole or absent, and a kill or a power cut costs the last ones at most."""

from __future__ import annotations

import json
import os

import pytest

from edgeblend.errors import OutputError
from edgeblend.runs import journal as run_journal
from edgeblend.runs.journal import Failure, Header, Journal, is_torn_header, read_header, read_lines

HEADER = Header("1.0", "bundle", {"paste": "clipped"}, 3, "names")
LINES = [Failure("a.png", "caf\u00e9"), Failure("b.png", "no\nline break"), Failure("c.png", "")]


@pytest.fixture
def path(tmp_path):
    """A journal with three lines after its header."""
    path = tmp_path / "instances.jsonl"
    with Journal(path, HEADER) as journal:
        for line in LINES:
            journal.add(line)
        assert [HEADER, *LINES] == list(journal.lines())
    return path


def test_lines_are_read_as_they_were_written(path):
    assert [line for line, _ in read_lines(path)] == [HEADER, *LINES]
    assert read_header(path) == HEADER
    assert path.read_bytes().count(b"\n") == 4


def test_whatever_is_torn_off_the_lines_before_remain(path):
    whole = path.read_bytes()
    ends = [end for _, end in read_lines(path)]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        complete = [end for end in ends if end <= length]
        assert [end for _, end in read_lines(path)] == complete
        assert is_torn_header(path) == (not complete)


@pytest.mark.parametrize(
    "damage", [b"\0" * 40, b"\0" * 40 + b"\n", b"{}\n", b'{"line":"failure"}\n', b"\xff\n"]
)
def test_what_comes_after_damage_does_not_count(damage, path):
    with path.open("ab") as file:
        file.write(damage + b'{"line":"failure","file":"d","error":""}\n')
    assert [line for line, _ in read_lines(path)] == [HEADER, *LINES]


@pytest.mark.parametrize("content", [b"{}\n", b"precious", b'{"line": "run"}\n', b'{"line":"runner"}\n'])
def test_a_file_of_somebody_else_is_no_journal(content, tmp_path):
    (tmp_path / "mine").write_bytes(content)
    assert read_header(tmp_path / "mine") is None
    assert not is_torn_header(tmp_path / "mine")
    assert not is_torn_header(tmp_path / "nowhere")


def test_going_on_cuts_off_the_rest(path):
    position = [end for _, end in read_lines(path)][1]
    with Journal(path, None, end=position) as journal:
        journal.add(LINES[2])
    assert [line for line, _ in read_lines(path)] == [HEADER, LINES[0], LINES[2]]


def test_one_that_is_there_is_not_begun_again(path):
    before = path.read_bytes()
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(path, HEADER)
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="files are locked otherwise")
def test_two_runs_do_not_write_one(path):
    with (
        Journal(path, None, end=path.stat().st_size),
        pytest.raises(OutputError, match="another run is writing it"),
    ):
        Journal(path, None, end=path.stat().st_size)
    Journal(path, None, end=path.stat().st_size).close()


class FullDisk:
    """A file that takes half of a write, then fails; cutting it off always works."""

    def __init__(self, file, error):
        self._file, self._error = file, error

    def write(self, data):
        self._file.write(bytes(data[: len(data) // 2]))
        raise self._error

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_line_that_is_not_written_leaves_no_half(error, path):
    with Journal(path, None, end=path.stat().st_size) as journal:
        file = journal._file
        journal._file = FullDisk(file, error)
        with pytest.raises((OutputError, KeyboardInterrupt)):
            journal.add(LINES[0])
        journal._file = file
        assert list(journal.lines()) == [HEADER, *LINES]
        journal.add(LINES[0])
    assert [line for line, _ in read_lines(path)] == [HEADER, *LINES, LINES[0]]


def test_what_a_disk_takes_in_parts_is_written_whole(path):
    class Slow(FullDisk):
        def write(self, data):
            return self._file.write(bytes(data[:7]))

    with Journal(path, None, end=path.stat().st_size) as journal:
        journal._file = Slow(journal._file, None)
        journal.add(LINES[0])
        assert list(journal.lines()) == [HEADER, *LINES, LINES[0]]


def test_lines_are_put_on_disk_every_second(path, monkeypatch):
    clock, synced = [0.0], []
    monkeypatch.setattr(run_journal.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(run_journal.os, "fsync", lambda descriptor: synced.append(clock[0]))
    with Journal(path, None, end=path.stat().st_size) as journal:
        for clock[0] in (0.1, 0.9, 1.1, 1.9, 2.2):
            journal.add(LINES[0])
    assert synced == [1.1, 2.2]


PICTURE = {
    "line": "picture",
    "image": {"id": 1},
    "annotations": [{"image_id": 1}],
    "file": "d",
    "timings_ms": {},
    "overlay": "d.jpg",
}


@pytest.mark.parametrize(
    "change",
    [
        *({"overlay": name} for name in ("../../precious", "/precious", "..", "", "a/b.jpg", "a\0b.jpg")),
        *({"image": value} for value in (1, [], "text", {})),
        *({"annotations": value} for value in ([1], [{}], [[]], {"id": 1})),
    ],
    ids=str,
)
def test_a_line_that_names_other_files_or_holds_no_records_is_damage(change, path):
    with path.open("a") as file:
        file.write(json.dumps(PICTURE, separators=(",", ":")) + "\n")
    assert len(list(read_lines(path))) == 1 + len(LINES) + 1
    with path.open("a") as file:
        file.write(json.dumps({**PICTURE, **change}, separators=(",", ":")) + "\n")
    assert len(list(read_lines(path))) == 1 + len(LINES) + 1


def test_records_that_are_no_text_are_damage(path):
    line = json.dumps(PICTURE, separators=(",", ":")).encode().replace(b'{"id":1}', b'{"id":"\xff"}')
    with path.open("ab") as file:
        file.write(line + b"\n")
    assert len(list(read_lines(path))) == 1 + len(LINES)
