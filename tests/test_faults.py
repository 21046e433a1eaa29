"""Faults by injection, on operations that hold what they promise and on ones that do not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import failing, fault_numbers, interrupted, no_permission, no_space

from edgeblend.files.renaming import rename_new

HALF = "half and half"


def carelessly(target: Path) -> None:
    target.write_text(HALF)


def whole(target: Path) -> None:
    part = target.with_suffix(".part")
    try:
        with part.open("w") as file:
            file.write("half and")
            file.write(" half")
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def left_after_faults(
    write: Callable[[Path], None], folder: Path, how: Callable[[], object], error: type[BaseException]
) -> set[str]:
    """Return what is in the target after each of the faults."""
    folder.mkdir()
    for number in fault_numbers(lambda: write(folder / "counted"), below=folder):
        with pytest.raises(error), failing(number, how, below=folder):
            write(folder / str(number))
    return {path.read_text() for path in folder.iterdir() if path.name != "counted"}


@pytest.mark.parametrize(
    ("how", "error"),
    [(no_space, OSError), (no_permission, PermissionError), (interrupted, KeyboardInterrupt)],
)
def test_a_careless_writer_is_found_and_a_careful_one_is_not(tmp_path, how, error):
    assert left_after_faults(carelessly, tmp_path / "careless", how, error) == {"half a"}
    # Where the last operation fails, which removes what is left of the part, the file is there, and whole.
    assert left_after_faults(whole, tmp_path / "whole", how, error) == {HALF}


def test_each_operation_is_counted_once_in_order(tmp_path):
    with failing(None, below=tmp_path) as seen:
        whole(tmp_path / "x")
    parts = ["open x.part", "write x.part", "write x.part", "fsync x.part"]
    assert seen.operations == [*parts, "rename x", "remove x.part"]
    assert seen.kinds == {"open", "write", "fsync", "rename", "remove"}
    assert (tmp_path / "x").read_text() == HALF


def test_a_write_that_fails_leaves_half(tmp_path):
    with failing(1, no_space, below=tmp_path), pytest.raises(OSError, match="No space"):
        (tmp_path / "x").write_text("four")
    with failing(1, no_space, below=tmp_path), pytest.raises(OSError, match="No space"):
        (tmp_path / "y").write_bytes(b"four")
    assert [(tmp_path / name).read_bytes() for name in "xy"] == [b"fo", b"fo"]


def test_operations_elsewhere_and_after_the_block_are_left_alone(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "inside"
    inside.mkdir()
    with failing(0, below=inside) as seen:
        outside.write_text("x")
    (inside / "x").write_text("x")
    assert seen.operations == []
    assert [path.name for path in inside.iterdir()] == ["x"]


def test_several_folders_and_what_other_threads_do_in_them(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    with failing(None, below=[tmp_path / "a", tmp_path / "b"]) as seen:
        thread = threading.Thread(target=(tmp_path / "a" / "x").touch)
        thread.start()
        thread.join()
        (tmp_path / "b" / "y").touch()
    assert [name for name in seen.operations if name.startswith("open")] == ["open x", "open y"]


def test_anywhere_means_what_this_thread_does(tmp_path):
    with failing(None) as seen:
        thread = threading.Thread(target=carelessly, args=(tmp_path / "x",))
        thread.start()
        thread.join()
        carelessly(tmp_path / "y")
    assert seen.operations == ["open y", "write y"]


def test_what_has_no_name_and_what_starts_from_a_folder_is_seen(tmp_path, monkeypatch):
    if not os.path.exists("/proc/self/fd"):  # noqa: PTH110
        pytest.skip("the system does not name open files")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x").touch()
    with failing(None, below=tmp_path) as seen:
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
        shutil.rmtree(tmp_path / "deep")
    assert [operation.split()[0] for operation in seen.operations[:3]] == ["open", "open", "write"]
    assert {"remove x", "rmdir deep"} <= set(seen.operations)


def test_a_rename_by_system_call_answers_with_the_error(tmp_path):
    (tmp_path / "x").touch()
    with failing(0, no_space, below=tmp_path) as seen, pytest.raises(OSError, match="No space"):
        rename_new(tmp_path / "x", tmp_path / "y")
    assert seen.operations == ["rename y"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.skipif(os.name == "nt", reason="kills processes as POSIX does")
def test_a_kill_is_one(tmp_path):
    code = (
        "import sys; from pathlib import Path; from faults import failing, killed\n"
        "with failing(1, killed): Path(sys.argv[1]).write_text('four')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], env=environment)
    assert done.returncode == -9
    assert (tmp_path / "x").read_text() == ""
