"""Checkpoints with damaged bytes: each is read or refused in one line, and nothing else is raised."""

import io
import pickle
import random
import zipfile
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoint_files import weights

from edgeblend.errors import CheckpointError
from edgeblend.model.checkpoints.read import read_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")

_INSTRUCTIONS = b"0123456789()cRbtu}]).NiIKMJUXqQh\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x94\x95\xff\0"
"""Of pickles; damage that is one of them gets further than damage that is none."""

_NUMBERS = (b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f", (2**40).to_bytes(8, "little"))


def saved(content: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


@cache
def whole_files() -> dict[str, bytes]:
    odd = {
        "meta": torch.zeros(2, device="meta"),
        "sparse": torch.eye(3).to_sparse(),
        "complex": torch.ones(2, dtype=torch.complex64),
        "repeated": torch.ones(1).expand(3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    return {
        "zip": saved({"model": weights("model."), "ema": weights()}),
        "odd": saved(odd),
        "legacy": saved({"model": weights(), "epoch": 1}, _use_new_zipfile_serialization=False),
        "safetensors": safetensors.torch.save(weights()),
        "pickle": pickle.dumps({"model": {"a": np.ones(3)}}, protocol=2),
    }


def damage(data: bytes, draw: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5])):
        place = draw.randrange(len(damaged))
        damaged[place : place + draw.choice([0, 1, 1, 1, 8])] = draw.choice(
            [bytes([draw.choice(_INSTRUCTIONS)]), bytes([draw.randrange(256)]), b"", draw.choice(_NUMBERS)]
        )
    return bytes(damaged[: draw.randrange(len(damaged))] if draw.random() < 0.1 else damaged)


def damage_pickle_within(data: bytes, draw: random.Random) -> bytes:
    """Another pickle in an archive that is whole."""
    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(rewritten, "w") as other:
        for entry in archive.infolist():
            content = archive.read(entry)
            other.writestr(entry.filename, damage(content, draw) if "data.pkl" in entry.filename else content)
    return rewritten.getvalue()


def damage_header(data: bytes, draw: random.Random) -> bytes:
    """Another header of safetensors, whose length is right."""
    length = int.from_bytes(data[:8], "little")
    header = damage(data[8 : 8 + length], draw)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


WAYS: list[tuple[str, Callable[[bytes, random.Random], bytes]]] = [
    *((kind, damage) for kind in ("zip", "odd", "legacy", "safetensors", "pickle")),
    *((kind, damage_pickle_within) for kind in ("zip", "odd")),
    ("safetensors", damage_header),
]


@pytest.mark.parametrize(("kind", "way"), WAYS)
@pytest.mark.parametrize("seed", range(25))
def test_damaged_checkpoints_are_read_or_refused(tmp_path, kind, way, seed):
    path = tmp_path / "damaged.pth"
    path.write_bytes(way(whole_files()[kind], random.Random(seed)))
    try:
        assert len(read_checkpoint(path)) < 100
    except CheckpointError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_the_files_are_read_when_they_are_whole(tmp_path, kind):
    path = tmp_path / "whole.pth"
    path.write_bytes(whole_files()[kind])
    assert len(read_checkpoint(path)) == len(weights())
