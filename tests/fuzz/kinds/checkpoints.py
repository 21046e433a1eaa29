"""Checkpoints as torch saves them, before and since version 1.6, and as safetensors."""

from __future__ import annotations

import io
import zipfile
from functools import partial
from pathlib import Path
from random import Random

import torch

from edgeblend.errors import CheckpointError
from edgeblend.model.checkpoints.read import checkpoint_digest, read_checkpoint

from ..mutate_bytes import mutate_bytes
from ..samples import files
from .attention import mutate_safetensors
from .kind import Kind, expect

_NAMES = {"zip": "zip.pth", "legacy": "legacy.pth", "safetensors": "plain.safetensors"}


def _write(name: str, folder: Path) -> None:
    (folder / name).write_bytes(files("checkpoints")[name])


def _make(name: str, random: Random, folder: Path) -> None:
    data = files("checkpoints")[name]
    if name == "zip.pth" and random.random() < 0.7:
        changed = _mutate_entries(data, random)
    elif name == "plain.safetensors":
        changed = mutate_safetensors(data, random)
    else:
        changed = mutate_bytes(data, random, others=list(files("checkpoints").values()))
    (folder / name).write_bytes(changed)


def _mutate_entries(data: bytes, random: Random) -> bytes:
    """Mutate the pickle or another entry, whose checksums are set right."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        entries = old.infolist()
        pickle = next(entry for entry in entries if entry.filename.endswith("data.pkl"))
        chosen = pickle if random.random() < 0.8 else random.choice(entries)
        for entry in entries:
            content = old.read(entry)
            info = zipfile.ZipInfo(entry.filename, date_time=(1980, 1, 1, 0, 0, 0))
            new.writestr(info, mutate_bytes(content, random) if entry is chosen else content)
    return file.getvalue()


def _run(folder: Path) -> None:
    (path,) = folder.iterdir()
    state = read_checkpoint(path)
    expect(len(checkpoint_digest(path)) == 64, "a digest is not one of SHA-256")
    for name, tensor in state.items():
        expect(isinstance(name, str) and tensor.dtype == torch.float32, "a weight is not float32")
        expect(bool(torch.isfinite(tensor).all()), "a weight is not finite")


KINDS = tuple(
    Kind(f"checkpoint-{name}", partial(_make, file), _run, (CheckpointError,), partial(_write, file), share=4)
    for name, file in _NAMES.items()
)
