"""What a command says beside its result: what was left out, changed or assumed."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from edgeblend.terminal.output import tell
from edgeblend.terminal.printing import as_text


class Notes:
    """Says each note on standard error when it comes, and keeps it for ``--json``."""

    def __init__(self, notes: Iterable[str] = ()) -> None:
        self.lines: list[str] = []
        for note in notes:
            self.add(note)

    def add(self, note: str) -> None:
        """Say a note."""
        self.lines.append(as_text(note))
        tell(f"edgeblend: note: {as_text(note)}")


def show_step(step: str) -> None:
    """Say on a terminal what a command does now."""
    if sys.stderr.isatty():
        tell(f"{step} ...")
