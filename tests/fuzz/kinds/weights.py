"""State dicts whose names and shapes are not the network's: what is said of them must fit on a line."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import torch
from tiny_model import TINY_YAML
from torch import Tensor

from edgeblend.errors import CheckpointError
from edgeblend.model.blendmask import BlendMask
from edgeblend.model.checkpoints.read import load_weights
from edgeblend.model.config import load_config

from ..mutate_values import text_like
from .kind import Kind, expect

_CONFIG, _CHANGES = "tiny.yaml", "changes.json"
_PREFIXES = ("module.", "_orig_mod.", "model.", "ema.", "teacher.", "a\nb.", "x" * 300 + ".", "")


def _write(folder: Path) -> None:
    (folder / _CONFIG).write_text(TINY_YAML)
    (folder / _CHANGES).write_text("[]")


def _make(random: Random, folder: Path) -> None:
    """Write changes as [what, which, text]; which is a share of the way through all names."""
    changes = []
    for _ in range(random.choice((1, 1, 2, 3))):
        what = random.choice(("prefix", "remove", "shape", "rename", "add", "remove-many"))
        text = random.choice(_PREFIXES) if what == "prefix" else text_like("weight", random)
        changes.append([what, round(random.random(), 6), text])
    (folder / _CONFIG).write_text(TINY_YAML)
    (folder / _CHANGES).write_text(json.dumps(changes))


def _run(folder: Path) -> None:
    network = _network((folder / _CONFIG).read_text())
    state = dict(network.state_dict())
    before = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for what, share, text in json.loads((folder / _CHANGES).read_text()):
        state = _changed(state, what, share, text)
    load_weights(network, state, source=str(folder / "model.pth"))
    after = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    expect(after == before, "the network has other shapes than before")


def _changed(state: dict[str, Tensor], what: str, share: float, text: str) -> dict[str, Tensor]:
    """Return a state dict with one change."""
    names = list(state)
    chosen = names[int(share * len(names))] if names else ""
    if what == "prefix":
        return {text + name: tensor for name, tensor in state.items()}
    if what == "add":
        return {**state, text: torch.zeros(1)}
    if what == "remove-many":
        return {name: state[name] for name in names[: int(share * len(names))]}
    if what == "rename":
        return {text if name == chosen else name: tensor for name, tensor in state.items()}
    changed = {name: tensor for name, tensor in state.items() if name != chosen}
    return changed if what == "remove" or not names else {**changed, chosen: torch.zeros(3, 1)}


@cache
def _network(config: str) -> BlendMask:
    """Return the network of a config in YAML, which takes 0.1 s to make; one for all cases."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, _CONFIG)
        path.write_text(config)
        return BlendMask(load_config(path))


KINDS = (Kind("weights", _make, _run, (CheckpointError,), _write, share=0.5, seconds=120),)
