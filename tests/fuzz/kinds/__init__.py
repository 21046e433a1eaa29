"""What is fuzzed: each kind of input, and the operation that reads it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from . import (
    attention,
    checkpoints,
    coco,
    command_line,
    configs,
    graphs,
    images,
    manifests,
    planted,
    recipes,
    videos,
)
from .kind import Kind

__all__ = ["KINDS", "UNCHANGED", "Kind", "find_kind", "make_case"]

UNCHANGED = -1
"""The seed of a kind's good input, which must be accepted."""

KINDS: tuple[Kind, ...] = (
    *manifests.KINDS,
    *recipes.KINDS,
    *coco.KINDS,
    *configs.KINDS,
    *command_line.KINDS,
    *images.KINDS,
    *videos.KINDS,
    *attention.KINDS,
    *checkpoints.KINDS,
    *graphs.KINDS,
)


def find_kind(name: str) -> Kind:
    """Return a kind by its name, planted faults included.

    Raises:
        KeyError: there is none.
    """
    return _by_name()[name]


def make_case(name: str, seed: int, folder: Path) -> None:
    """Write the input of one case into an empty folder; of :data:`UNCHANGED`, the one that is not mutated."""
    kind = find_kind(name)
    if seed == UNCHANGED:
        kind.write(folder)
    else:
        kind.make(Random(f"{name}:{seed}"), folder)


@cache
def _by_name() -> dict[str, Kind]:
    return {kind.name: kind for kind in (*KINDS, *planted.KINDS)}
