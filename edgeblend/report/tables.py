"""Tables of text, and how they look on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

_BETWEEN = "    "

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings; the first column says what a row is about."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class GroupedTable:
    """Rows of text in groups of equally many columns, each with a name above it."""

    groups: tuple[str, ...]
    headings: tuple[str, ...]
    """Heading of every column. The first column says what a row is about and belongs to no group."""
    rows: tuple[tuple[str, ...], ...]

    @property
    def span(self) -> int:
        """Number of columns in a group."""
        return (len(self.headings) - 1) // len(self.groups)


def aligned_groups(table: GroupedTable) -> list[str]:
    """Return the rows as lines, with the groups apart and their names above them, shortened if need be."""
    listed = [table.headings, *table.rows]
    widths = [max(len(row[column]) for row in listed) for column in range(len(table.headings))]
    lines = []
    for row in listed:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        groups = ["  ".join(group) for group in _groups(cells[1:], table.span)]
        lines.append(_BETWEEN.join((row[0].ljust(widths[0]), *groups)).rstrip())
    spans = [sum(group) + 2 * (table.span - 1) for group in _groups(widths[1:], table.span)]
    names = [_headline(name, width) for name, width in zip(table.groups, spans, strict=True)]
    return [_BETWEEN.join((" " * widths[0], *names)).rstrip(), *lines]


def fitted(name: str, width: int) -> str:
    """Return a name of at most so many letters: of a longer one the end, which tells bundles apart."""
    return name if len(name) <= width else f"...{name[3 - width :]}"


def _groups(items: Sequence[_Item], span: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), span):
        yield items[start : start + span]


def _headline(name: str, width: int) -> str:
    """Return the name of a group over all of it."""
    shown = fitted(name, width)
    return f" {shown} ".center(width, "-") if len(shown) <= width - 4 else shown.rjust(width)
