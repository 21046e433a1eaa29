"""What is fuzzed: each kind of input, and the operation that reads it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from .. import kept
from . import (
    attention,
    checkpoints,
    coco,
    command_line,
    configs,
    graphs,
    images,
    journals,
    manifests,
    planted,
    recipes,
    training,
    videos,
    weights,
)
from .kind import Kind, Seed

__all__ = ["KINDS", "UNCHANGED", "Kind", "Seed", "find_kind", "make_case"]

UNCHANGED = -1
"""The seed of a kind's good input, which must be accepted."""

KINDS: tuple[Kind, ...] = (
    *manifests.KINDS,
    *recipes.KINDS,
    *coco.KINDS,
    *configs.KINDS,
    *command_line.KINDS,
    *journals.KINDS,
    *images.KINDS,
    *videos.KINDS,
    *attention.KINDS,
    *checkpoints.KINDS,
    *weights.KINDS,
    *training.KINDS,
    *graphs.KINDS,
)


def find_kind(name: str) -> Kind:
    """Return a kind by its name, planted faults included.

    Raises:
        KeyError: there is none.
    """
    return _by_name()[name]


def make_case(name: str, seed: Seed, folder: Path) -> None:
    """Write the input of one case into an empty folder.

    Args:
        name: the kind's.
        seed: a number, :data:`UNCHANGED`, or the name of an input in the corpus.
        folder: where.
    """
    kind = find_kind(name)
    if isinstance(seed, str):
        kept.copy_input(name, seed, folder)
    elif seed == UNCHANGED:
        kind.write(folder)
    else:
        kind.make(Random(f"{name}:{seed}"), folder)


@cache
def _by_name() -> dict[str, Kind]:
    return {kind.name: kind for kind in (*KINDS, *planted.KINDS)}
