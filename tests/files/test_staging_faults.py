"""Every operation on files fails once, or is the last one before the process dies: whole, or as it was."""

import errno
import json
import os
import warnings
from collections import Counter

import pytest
from bundle_factory import write_tiny_bundle
from faults import failing, interrupted, killed, no_permission, no_space, tree

from edgeblend.bundle import Bundle, stage_bundle
from edgeblend.errors import OutputError
from edgeblend.files import renaming
from edgeblend.files.staging import check_file, check_folder, stage_folder, write_whole


def write_text(path, text):
    with path.open("w") as file:
        file.write(text)


def write_folder(out):
    with stage_folder(out, check_folder(out, listing="list.json", overwrite=True)) as folder:
        (folder / "parts").mkdir()
        write_text(folder / "parts" / "new.txt", "new")
        write_text(folder / "list.json", json.dumps({"files": ["list.json", "parts/new.txt"]}))


def write_file(out):
    write_whole(out, lambda file: write_text(file, "new"), found=check_file(out, overwrite=True))


def write_any_file(out):
    write_whole(out, lambda file: write_text(file, "new"))


def write_bundle(out):
    with stage_bundle(out, overwrite=True) as folder:
        write_text(folder / "manifest.json", "new")


def an_earlier_folder(out):
    (out / "parts").mkdir(parents=True)
    (out / "parts" / "old.txt").write_text("old")
    (out / "list.json").write_text(json.dumps({"files": ["list.json", "parts/old.txt"]}))


def an_earlier_file(out):
    out.write_text("old")


def nothing(out):
    """Leave it free."""


CASES = {
    "folder": (write_folder, nothing, "deep/er/out"),
    "folder over another": (write_folder, an_earlier_folder, "out"),
    "file": (write_file, nothing, "out.txt"),
    "file over another": (write_file, an_earlier_file, "out.txt"),
    "file over whatever is there": (write_any_file, an_earlier_file, "out.txt"),
    "bundle": (write_bundle, nothing, "deep/out"),
    "bundle over another": (write_bundle, write_tiny_bundle, "out"),
    "zip": (write_bundle, nothing, "deep/out.zip"),
    "zip over another": (write_bundle, write_tiny_bundle, "out.zip"),
}


@pytest.fixture(params=["as here", "without system calls"])
def system(request, monkeypatch):
    if request.param != "as here":
        monkeypatch.setattr(renaming, "_system_rename", lambda *call: errno.ENOSYS)
    return request.param


def prepared(case, tmp_path, name):
    """Return a folder with what was there, the writer, and the path to write."""
    write, earlier, place = CASES[case]
    folder = tmp_path / name
    folder.mkdir()
    earlier(folder / place)
    return folder, write, folder / place


def whole(case, tmp_path):
    """Return what is there before and after, and the operations between."""
    folder, write, out = prepared(case, tmp_path, "whole")
    before = tree(folder)
    with failing(None) as seen:
        write(out)
    return before, tree(folder), seen


@pytest.mark.parametrize("raise_it", [no_space, no_permission, interrupted])
@pytest.mark.parametrize("case", CASES)
def test_any_operation_may_fail_once(tmp_path, system, case, raise_it):
    before, after, seen = whole(case, tmp_path)
    assert {"open", "write", "fsync"} < seen.kinds
    ends = Counter()
    for position in range(len(seen.operations)):
        folder, write, out = prepared(case, tmp_path, f"{position}")
        was = tree(folder)
        assert was == before
        end = "well"
        with failing(position, raise_it):
            try:
                write(out)
            except OutputError as error:
                assert "\n" not in str(error) and str(error).startswith(str(out)), error
                end = "refused"
            except KeyboardInterrupt:
                end = "interrupted"
        where = f"operation {position} of {seen.operations}: {end}"
        assert tree(folder) == (after if end == "well" else was) or (
            end == "interrupted" and tree(folder) == after
        ), where
        ends[end] += 1
    assert ends["interrupted" if raise_it is interrupted else "refused"] >= 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are killed quickly")
@pytest.mark.parametrize("case", CASES)
def test_a_process_that_is_killed_leaves_it_whole_or_as_it_was(tmp_path, case):
    if renaming._system_rename("exchange", tmp_path / "a", tmp_path / "b") == errno.ENOSYS:
        pytest.skip("what is replaced is away for a moment where names cannot be exchanged")
    _, after, seen = whole(case, tmp_path)
    for position in range(len(seen.operations)):
        folder, write, out = prepared(case, tmp_path, f"{position}")
        was = tree(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which this child does without
            child = os.fork()
        if child == 0:
            with failing(position, killed):
                write(out)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
        visible = {name: data for name, data in tree(folder).items() if ".edgeblend-" not in name}
        above = [path.relative_to(folder).as_posix() for path in out.parents if folder in path.parents]
        assert visible in (was, after) or visible.items() <= dict.fromkeys(above).items(), (
            f"{position} of {seen.operations}"
        )


def test_the_fault_is_really_there(tmp_path):
    """Written at its place, a file is not whole: the test above would see it."""
    (tmp_path / "out.txt").write_text("old")
    with failing(1, no_space) as seen, pytest.raises(OSError, match="No space"):
        write_text(tmp_path / "out.txt", "new")
    assert seen.operations == ["open out.txt", "write out.txt"] and (tmp_path / "out.txt").read_text() == "n"


def test_a_bundle_is_readable_whatever_failed_before(tmp_path):
    out = write_tiny_bundle(tmp_path / "out")
    with failing(6, no_space), pytest.raises(OutputError):
        write_bundle(out)
    assert Bundle.load(out).manifest.things == ("cat", "dog")
