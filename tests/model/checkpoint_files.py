"""Small checkpoints for tests, and what follows an error's advice to the letter."""

import contextlib
import re
from pathlib import Path

import torch

from edgeblend.model.checkpoints.read import Checkpoint, read_checkpoint

NAMES = ("backbone.a.weight", "proposal_generator.b.weight", "basis_module.c.bias", "top_layer.weight")
"""One of each root that every BlendMask has."""


def weights(prefix: str = "", scale: float = 1.0) -> dict[str, torch.Tensor]:
    """1, 2, 3, 4 times a scale."""
    return {f"{prefix}{name}": torch.tensor([scale * value]) for value, name in enumerate(NAMES, 1)}


def values(state: dict[str, torch.Tensor]) -> dict[str, list[float]]:
    return {name: tensor.tolist() for name, tensor in state.items()}


def advised_code(message: str) -> str:
    """The line of Python that an error or a note ends with."""
    found = re.search(r"in Python: (import .*\))$", message)
    assert found, message
    return found[1]


def follow(message: str, folder: Path) -> Checkpoint:
    """Run the advice as a user would, and read what it wrote."""
    with contextlib.chdir(folder):
        exec(advised_code(message), {})
    return read_checkpoint(folder / "weights.pth")
