"""Faults by injection, on operations that hold what they promise and on ones that do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .faults import NO_PERMISSION, NO_SPACE, failing, fault_numbers


def _carelessly(target: Path) -> None:
    target.write_text("half")
    with target.open("a") as file:
        file.write(" and half")


def _whole(target: Path) -> None:
    part = target.with_suffix(".part")
    try:
        with part.open("w") as file:
            file.write("half")
            file.write(" and half")
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _left_after_faults(write: Callable[[Path], None], folder: Path, error: BaseException) -> set[str]:
    """Return what is in the target after each of the faults."""
    folder.mkdir()
    for number in fault_numbers(lambda: write(folder / "counted"), below=folder):
        with pytest.raises(type(error)), failing(number, error, below=folder):
            write(folder / str(number))
    return {path.read_text() for path in folder.iterdir() if path.name != "counted"}


@pytest.mark.parametrize(
    "error", [NO_SPACE, NO_PERMISSION, KeyboardInterrupt()], ids=["space", "access", "key"]
)
def test_a_careless_writer_is_found_and_a_careful_one_is_not(tmp_path: Path, error: BaseException) -> None:
    assert _left_after_faults(_carelessly, tmp_path / "careless", error) == {"", "half"}
    assert _left_after_faults(_whole, tmp_path / "whole", error) == set()


def test_each_operation_is_counted_once_in_order(tmp_path: Path) -> None:
    with failing(None, NO_SPACE, below=tmp_path) as counted:
        _whole(tmp_path / "x")

    assert counted.operations == ["open x.part", "write x.part", "write x.part", "os.rename x"]
    assert (tmp_path / "x").read_text() == "half and half"


def test_operations_elsewhere_and_after_the_block_are_left_alone(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    with failing(0, NO_SPACE, below=inside) as counted:
        outside.write_text("x")
    (inside / "x").write_text("x")

    assert counted.operations == []
    assert [path.name for path in inside.iterdir()] == ["x"]
