"""How commands print: aligned lines for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def print_json(report: Mapping[str, Any]) -> None:
    """Write a report to standard output as indented JSON."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")


def print_rows(rows: Iterable[tuple[str, str]], *, indent: int = 0) -> None:
    """Write ``label  value`` lines with the values aligned."""
    listed = list(rows)
    width = max((len(label) for label, _ in listed), default=0)
    for label, value in listed:
        print(f"{' ' * indent}{label:<{width}}  {value}".rstrip())


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with columns aligned, the first to the left and figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def as_text(name: object) -> str:
    """Return a path or a message as text that can be encoded: Linux allows any bytes in a file's name."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def human_bytes(size: int) -> str:
    """Return a file size such as ``36.4 MB``."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
