"""What is fuzzed: each kind of input, and the operation that reads it."""

from __future__ import annotations

from functools import cache
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

__all__ = ["KINDS", "Kind", "case_random", "find_kind"]

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


def case_random(kind: str, seed: int) -> Random:
    """Return what decides everything of one case."""
    return Random(f"{kind}:{seed}")


@cache
def _by_name() -> dict[str, Kind]:
    return {kind.name: kind for kind in (*KINDS, *planted.KINDS)}
