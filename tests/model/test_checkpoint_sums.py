"""A record of a torch file with another byte than was written is found by its checksum."""

import io
import zipfile
from pathlib import Path

import pytest
import torch
from checkpoint_files import values, weights

from edgeblend.errors import CheckpointError
from edgeblend.model.checkpoints.read import read_checkpoint
from edgeblend.model.checkpoints.sums import altered_record

TWO = b"\0\0\x00\x40"
"""2.0, the second of the weights, as it lies in the file."""


def write(path: Path) -> None:
    torch.save({"model": weights()}, path)


def flip(path: Path) -> None:
    """Make 2.0 the number 2.25, which nothing but a checksum can tell from it."""
    data = path.read_bytes()
    assert data.count(TWO) >= 1
    with zipfile.ZipFile(path) as archive:
        place = data.index(TWO, archive.getinfo(f"{path.stem}/data/1").header_offset)
    path.write_bytes(data[: place + 2] + b"\x10" + data[place + 3 :])


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.pth")
    assert values(read_checkpoint(tmp_path / "a.pth")) == values(weights())


def test_a_flipped_bit_is_refused_and_its_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    write(path)
    flip(path)
    assert torch.load(path)["model"]["proposal_generator.b.weight"].item() == 2.25  # torch takes it
    with pytest.raises(CheckpointError, match=r"a.pth is damaged: .* a/data/1 .*\(CRC-32\); fetch it again"):
        read_checkpoint(path)


def test_a_file_without_sums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        write(tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert values(read_checkpoint(tmp_path / "a.pth")) == values(weights())


def test_an_empty_record_has_the_sum_0() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("empty", b"")
        archive.writestr("full", b"abc")
    with zipfile.ZipFile(file) as archive:
        assert altered_record(archive) is None
    damaged = io.BytesIO(file.getvalue().replace(b"abc", b"abd"))
    with zipfile.ZipFile(damaged) as archive:
        assert altered_record(archive) == "full"
