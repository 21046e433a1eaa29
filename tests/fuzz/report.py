"""What a run found: a table of kinds, failures sorted by cause, and inputs to repeat them with."""

from __future__ import annotations

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .kinds import make_case
from .outcome import Outcome

LIST = "failures.jsonl"
_KEPT = 3
"""Inputs of each group that are written; the others are in the list."""
_SHOWN = 300
"""Characters of a message."""


@dataclass(slots=True)
class Tally:
    """The cases of one kind."""

    accepted: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    grown: int = 0
    """Bytes that the largest of its cases took."""
    refusals: Counter[str] = field(default_factory=Counter)
    """By the errors' classes."""

    @property
    def cases(self) -> int:
        """All of them."""
        return self.accepted + self.refused + self.failed

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        setattr(self, outcome.status, getattr(self, outcome.status) + 1)
        self.seconds += outcome.seconds
        self.grown = max(self.grown, outcome.grown)
        if outcome.status == "refused":
            self.refusals[outcome.reason] += 1


def table_of(tallies: dict[str, Tally]) -> str:
    """Return one line for each kind, and one for all."""
    lines = [_row("kind", "cases", "accepted", "refused", "failures", "seconds", "peak MiB")]
    for name, tally in (*tallies.items(), ("all", _sum(tallies.values()))):
        numbers = (tally.cases, tally.accepted, tally.refused, tally.failed)
        lines.append(_row(name, *map(str, numbers), f"{tally.seconds:.1f}", str(tally.grown >> 20)))
    return "\n".join(lines)


def grouped(failures: Sequence[Outcome]) -> list[list[Outcome]]:
    """Return failures that most likely have one cause together, the most frequent first."""
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in failures:
        groups[outcome.group].append(outcome)
    return sorted(groups.values(), key=len, reverse=True)


def summary_of(failures: Sequence[Outcome], repeated: dict[str, bool]) -> str:
    """Return what failed, a few lines for each cause.

    Args:
        failures: all of them.
        repeated: of cases that were run again, alone in a new process, whether they failed again.
    """
    parts = []
    for group in grouped(failures):
        first, kinds = group[0], Counter(outcome.kind for outcome in group)
        again = {True: "", False: "  not when run alone: cases before it had a part in it\n", None: ""}
        parts.append(
            f"{len(group)} x {first.reason} in {first.where}\n"
            f"  kinds: {', '.join(f'{kind} {count}' for kind, count in kinds.most_common())}\n"
            f"  such as {first.message[:_SHOWN]!r}\n"
            f"{again[repeated.get(first.name)]}"
            f"  repeat: python -m tests.fuzz --only {first.name}"
        )
    return "\n\n".join(parts)


def note_failure(folder: Path, outcome: Outcome, *, first: bool) -> None:
    """Add a line to ``failures.jsonl`` as soon as something is found: a long run may not come to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LIST).open("w" if first else "a") as file:
        file.write(f"{json.dumps(asdict(outcome))}\n")


def write_inputs(folder: Path, failures: Sequence[Outcome]) -> None:
    """Write the inputs of some cases of each group.

    An input lies in ``<kind>-<seed>/input``, beside ``failure.json``, which says what happened and how to
    repeat it.
    """
    for group in grouped(failures):
        for outcome in group[:_KEPT]:
            place = folder / f"{outcome.kind}-{outcome.seed}"
            (place / "input").mkdir(parents=True, exist_ok=True)
            if not any((place / "input").iterdir()):
                with contextlib.suppress(Exception):  # where making it is what failed
                    make_case(outcome.kind, outcome.seed, place / "input")
            repeat = f"python -m tests.fuzz --only {outcome.name}"
            text = json.dumps({**asdict(outcome), "repeat": repeat}, indent=2)
            (place / "failure.json").write_text(text)


def _row(*cells: str) -> str:
    return f"{cells[0]:24}" + "".join(f"{cell:>10}" for cell in cells[1:])


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.accepted += tally.accepted
        total.refused += tally.refused
        total.failed += tally.failed
        total.seconds += tally.seconds
        total.grown = max(total.grown, tally.grown)
    return total
