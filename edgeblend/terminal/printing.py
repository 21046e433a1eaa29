"""How commands print: aligned lines for people, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgeblend.terminal.output import show

_NOT_ASCII = re.compile("[^\x00-\x7e]+")
_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def print_json(report: Mapping[str, Any]) -> None:
    """Write a report to standard output as indented JSON."""
    show(json_text(report))


def json_text(value: object) -> str:
    """Return anything as indented JSON that a terminal takes, and the encoding of standard output.

    What either would not take is written as JSON's own escapes, which read back as the same text.
    """
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(_encodable(msgspec.to_builtins(value))), indent=2).decode()
    takes_all = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return (_CONTROLS if takes_all else _NOT_ASCII).sub(lambda found: json.dumps(found[0])[1:-1], text)


def _encodable(value: Any) -> Any:  # noqa: ANN401
    """Return what JSON is made of with names that are no text, see :func:`as_text`, as text."""
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value


def print_rows(rows: Iterable[tuple[str, str]], *, indent: int = 0) -> None:
    """Write ``label  value`` lines with the values aligned."""
    for line in aligned_pairs(rows, indent=indent):
        show(line)


def aligned_pairs(rows: Iterable[tuple[str, str]], *, indent: int = 0) -> list[str]:
    """Return ``label  value`` lines with the values aligned."""
    listed = list(rows)
    width = max((len(label) for label, _ in listed), default=0)
    return [f"{' ' * indent}{label:<{width}}  {value}".rstrip() for label, value in listed]


def wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines of at most so many letters; all but the first are indented."""
    return textwrap.wrap(as_text(text), width, subsequent_indent="  ")


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
