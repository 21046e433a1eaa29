"""What makes a kind of case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from edgeblend.errors import EdgeBlendError

Seed = int | str
"""Which case of a kind: the number that it is made from, or the name of one in the corpus."""


class WrongResultError(Exception):
    """An operation took an input and made something of it that cannot be."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of input and the operation that reads it."""

    name: str
    make: Callable[[Random, Path], None]
    """Writes a mutated input into an empty folder; all by the random numbers."""
    run: Callable[[Path], None]
    """Reads what lies in that folder, and raises WrongResultError if the result cannot be."""
    raises: tuple[type[EdgeBlendError], ...]
    """What the operation's documentation says that it raises."""
    write: Callable[[Path], None]
    """Writes the input that was not mutated, which the operation must take."""
    share: float = 1.0
    """How many of all cases are of this kind, in proportion: cheap kinds get more."""
    memory: int = 1 << 30
    """Bytes that a case may take."""
    seconds: float = 20.0
    """How long a case may take; hundred times as long as it does, for machines that are busy."""


def expect(holds: bool, what: str) -> None:
    """Raise a WrongResultError unless something holds."""
    if not holds:
        raise WrongResultError(what)
