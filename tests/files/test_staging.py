"""Whole or absent: files and folders of results, what may be replaced, and what is left after a failure."""

import errno
import json
import os
import stat
import threading

import pytest

from edgeblend.errors import OutputError
from edgeblend.files import renaming, staging
from edgeblend.files.staging import (
    Found,
    check_file,
    check_folder,
    look_at,
    remove_leftovers,
    stage_folder,
    write_atomically,
    write_whole,
)

LISTING = "report.json"
NOTHING = Found(None)


def write_earlier(out, *more):
    """A folder as a command leaves it, and files that it does not list."""
    (out / "parts").mkdir(parents=True)
    (out / "parts" / "a.txt").write_text("a")
    (out / LISTING).write_text(json.dumps({"files": [LISTING, "parts/a.txt"]}))
    for name in more:
        (out / name).write_text("precious")
    return out


def content(folder):
    """Every file below a folder, hidden ones too, with what is in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture(params=["as here", "without system calls", "without hard links"])
def system(request, monkeypatch):
    """What file systems can do: each of them must do."""
    if request.param != "as here":
        monkeypatch.setattr(renaming, "_system_rename", lambda *call: errno.ENOSYS)
    if request.param == "without hard links":

        def refuse(*args, **options):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    return request.param


# Folders


def test_a_new_folder(tmp_path, system):
    out = tmp_path / "x" / "out"
    with stage_folder(out, check_folder(out, listing=LISTING, overwrite=False)) as folder:
        (folder / "a.txt").write_text("a")
        assert not out.exists()
    assert content(tmp_path) == {"x": None, "x/out": None, "x/out/a.txt": "a"}


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, OSError])
def test_after_a_failure_all_is_as_it_was(tmp_path, failure):
    out = write_earlier(tmp_path / "out")
    before = content(tmp_path)
    for target in (out, tmp_path / "deep" / "er" / "out"):
        with (
            pytest.raises(OutputError if failure is OSError else failure),
            stage_folder(target, look_at(target)) as folder,
        ):
            (folder / "b.txt").write_text("b")
            raise failure
    assert content(tmp_path) == before


def test_replacing_what_was_there(tmp_path, system):
    out = write_earlier(tmp_path / "out")
    with stage_folder(out, check_folder(out, listing=LISTING, overwrite=True)) as folder:
        (folder / "b.txt").write_text("b")
    assert content(tmp_path) == {"out": None, "out/b.txt": "b"}


def make_empty_folder(out):
    out.mkdir()


def make_folder(out):
    out.mkdir()
    (out / "thesis.txt").write_text("precious")


def make_file(out):
    out.write_text("precious")


def make_link(out):
    out.symlink_to("nowhere")


@pytest.mark.parametrize("make", [make_empty_folder, make_folder, make_file, make_link])
def test_what_came_to_be_meanwhile_is_kept(tmp_path, system, make):
    out = tmp_path / "out"
    with pytest.raises(OutputError, match="out: came to be while this was made"), stage_folder(out, NOTHING):
        make(out)
        before = content(tmp_path).keys() & {"out", "out/thesis.txt"}, out.lstat().st_ino
    assert (set(content(tmp_path)), out.lstat().st_ino) == before


@pytest.mark.parametrize("make", [make_empty_folder, make_folder, make_file])
def test_what_came_to_be_in_the_last_moment_is_kept(tmp_path, system, monkeypatch, make):
    """Between looking and renaming: only the rename itself can tell."""
    out = tmp_path / "out"

    def look_and_lose(path):
        found = look_at(path)
        make(out)
        return found

    with pytest.raises(OutputError, match="came to be"), stage_folder(out, NOTHING):
        monkeypatch.setattr(staging, "look_at", look_and_lose)
    assert out.exists() and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_of_two_writers_the_later_one_is_refused(tmp_path, system):
    out = tmp_path / "out"
    with pytest.raises(OutputError, match="came to be"), stage_folder(out, NOTHING) as slow:
        (slow / "a.txt").write_text("slow")
        with stage_folder(out, NOTHING) as quick:
            (quick / "a.txt").write_text("quick")
    assert content(tmp_path) == {"out": None, "out/a.txt": "quick"}


def add_a_file(out):
    (out / "thesis.txt").write_text("precious")


def change_a_file(out):
    (out / "parts" / "a.txt").write_text("precious")


def put_another_in_its_place(out):
    out.rename(out.with_name("moved"))
    write_earlier(out)


@pytest.mark.parametrize("change", [add_a_file, change_a_file, put_another_in_its_place])
@pytest.mark.parametrize("moment", ["early", "last"])
def test_only_what_was_found_is_replaced(tmp_path, system, monkeypatch, change, moment):
    out = write_earlier(tmp_path / "out")
    found = check_folder(out, listing=LISTING, overwrite=True)

    def look_and_change(path):
        monkeypatch.setattr(staging, "look_at", look_at)
        seen = look_at(path)
        change(out)
        return seen

    with pytest.raises(OutputError, match="out: was changed while this was made"), stage_folder(out, found):
        if moment == "early":
            change(out)
        else:
            monkeypatch.setattr(staging, "look_at", look_and_change)
    expected = {"out", "moved"} if change is put_another_in_its_place else {"out"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    assert (out / "parts" / "a.txt").read_text() == ("precious" if change is change_a_file else "a")


def test_what_was_to_be_replaced_may_go_meanwhile(tmp_path, system):
    out = write_earlier(tmp_path / "out")
    with stage_folder(out, look_at(out)) as folder:
        (folder / "b.txt").write_text("b")
        out.rename(tmp_path / "moved")
    assert content(out) == {"b.txt": "b"}


def test_what_a_file_manager_leaves_is_no_change(tmp_path):
    out = write_earlier(tmp_path / "out")
    with stage_folder(out, look_at(out)) as folder:
        (folder / "b.txt").write_text("b")
        (out / ".DS_Store").write_text("junk")
    assert content(tmp_path) == {"out": None, "out/b.txt": "b"}


def test_what_is_there_is_kept_unless_asked(tmp_path):
    with pytest.raises(OutputError, match="already exists.*--overwrite"):
        check_folder(write_earlier(tmp_path / "out"), listing=LISTING, overwrite=False)


def test_an_empty_folder_may_be_replaced(tmp_path):
    check_folder(tmp_path, listing=LISTING, overwrite=True)


@pytest.mark.parametrize("name", ["mine.txt", "parts/mine.txt", ".hidden"])
def test_a_file_of_somebody_else_is_kept(tmp_path, name):
    out = write_earlier(tmp_path / "out", name)
    with pytest.raises(OutputError, match="did not write"):
        check_folder(out, listing=LISTING, overwrite=True)
    (out / name).unlink()
    check_folder(out, listing=LISTING, overwrite=True)


@pytest.mark.parametrize("name", [".DS_Store", "parts/._a.txt", "Thumbs.db"])
def test_what_file_managers_leave_is_nobodys(tmp_path, name):
    check_folder(write_earlier(tmp_path / "out", name), listing=LISTING, overwrite=True)


@pytest.mark.parametrize("listing", [None, b"", b"{}", b"[]", b"\xff", b'{"files": 3}', b'{"files": "mine"}'])
def test_without_a_listing_all_files_are_somebody_elses(tmp_path, listing):
    (tmp_path / "mine").write_text("precious")
    if listing is not None:
        (tmp_path / LISTING).write_bytes(listing)
    with pytest.raises(OutputError, match="did not write"):
        check_folder(tmp_path, listing=LISTING, overwrite=True)


def test_files_and_links_are_no_folders(tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(write_earlier(tmp_path / "out"))
    for name in ("file", "link"):
        with pytest.raises(OutputError, match="is not a folder"):
            check_folder(tmp_path / name, listing=LISTING, overwrite=True)


def test_a_mounted_folder_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path)
    with pytest.raises(OutputError, match="is a mount point.*name a new folder in it"):
        check_folder(tmp_path, listing=LISTING, overwrite=True)


def test_below_a_file_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        check_folder(tmp_path / "file" / "out", listing=LISTING, overwrite=True)
    with (
        pytest.raises(OutputError, match="cannot be written"),
        stage_folder(tmp_path / "file" / "a", NOTHING),
    ):
        pytest.fail("the block must not be entered")


# Files


def test_a_file_is_written_and_nothing_beside_it(tmp_path, system):
    write_atomically(tmp_path / "a.md", b"new")
    write_atomically(tmp_path / "a.md", b"newer")
    write_atomically(tmp_path / "b.md", b"new", found=NOTHING)
    assert content(tmp_path) == {"a.md": "newer", "b.md": "new"}


def test_a_file_that_was_found_is_replaced(tmp_path, system):
    (tmp_path / "a.md").write_bytes(b"old")
    write_atomically(tmp_path / "a.md", b"new", found=check_file(tmp_path / "a.md", overwrite=True))
    assert content(tmp_path) == {"a.md": "new"}


@pytest.mark.parametrize("before", [None, "old"])
def test_a_file_that_changed_meanwhile_is_kept(tmp_path, system, before):
    path = tmp_path / "a.md"
    if before is not None:
        path.write_text(before)
    found = check_file(path, overwrite=True)
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"a\.md: (came to be|was changed) while this was made"):
        write_atomically(path, b"new", found=found)
    assert content(tmp_path) == {"a.md": "precious"}


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_failure_leaves_what_was_there(tmp_path, before, failure):
    path = tmp_path / "file.txt"
    if before is not None:
        path.write_text(before)

    def half_written(file):
        file.write_text("ha")
        raise failure

    wanted = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(wanted) as caught:
        write_whole(path, half_written)
    if wanted is OutputError:
        intact = "" if before is None else "; what was there before is intact"
        assert str(caught.value) == (
            f"{path}: cannot be written: No space left on device{intact}; make room, or choose another place"
        )
    assert content(tmp_path) == ({} if before is None else {"file.txt": "old"})


def test_what_may_be_written(tmp_path):
    (tmp_path / "old.md").write_text("old")
    assert check_file(tmp_path / "new.md", overwrite=False) == NOTHING
    assert check_file(tmp_path / "old.md", overwrite=True) != NOTHING
    for path, words in (
        (tmp_path / "old.md", "already exists; choose another name, or pass --overwrite"),
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "new.md", "there is no folder"),
        (tmp_path / ("x" * 300), "cannot be written: File name too long"),
    ):
        with pytest.raises(OutputError, match=words):
            check_file(path, overwrite=False)


def test_a_device_is_never_replaced():
    with pytest.raises(OutputError, match="is a device or a pipe"):
        check_file(staging.Path(os.devnull), overwrite=True)


@pytest.mark.parametrize("length", [1, 250, 255])
def test_a_name_as_long_as_names_may_be(tmp_path, system, length):
    write_atomically(tmp_path / ("x" * length), b"new")
    with stage_folder(tmp_path / ("y" * length), NOTHING):
        pass
    assert sorted(len(path.name) for path in tmp_path.iterdir()) == [length, length]


def test_a_name_that_is_too_long_is_one_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        write_atomically(tmp_path / ("x" * 256), b"new")
    assert content(tmp_path) == {}


def test_writers_of_one_file_do_not_meet(tmp_path):
    path, barrier, failures = tmp_path / "a.md", threading.Barrier(4), []

    def write(letter):
        def slowly(file):
            barrier.wait(10)  # all four are at it
            file.write_text(letter * 1000)
            barrier.wait(10)

        try:
            write_whole(path, slowly)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert content(tmp_path).keys() == {"a.md"} and path.read_text() in {letter * 1000 for letter in "abcd"}


# Modes


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_are_those_of_new_files(tmp_path, system, umask):
    def as_some_libraries_write(path):
        path.write_text("a")
        path.chmod(0o600)

    before = os.umask(umask)
    try:
        write_whole(tmp_path / "file", as_some_libraries_write)
        with stage_folder(tmp_path / "new" / "out", NOTHING) as folder:
            (folder / "parts").mkdir(mode=0o700)
            as_some_libraries_write(folder / "parts" / "a")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    files, folders = 0o666 & ~umask, 0o777 & ~umask
    assert modes == {"file": files, "a": files, "new": folders, "out": folders, "parts": folders}


# Leftovers


def test_what_a_killed_process_left_can_be_removed(tmp_path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / ".edgeblend-12345678").write_text("half")
    write_earlier(tmp_path / ".edgeblend-abcdef01")
    remove_leftovers(tmp_path)
    assert content(tmp_path) == {"mine": "precious"}
