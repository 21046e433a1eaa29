"""``run``'s report as JSON, printed picture by picture: there may be a hundred thousand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

from edgeblend.runs.journal import Failure, Picture
from edgeblend.runs.results import RunResults
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import json_text


def print_report(out: Path, info: Mapping[str, Any], results: RunResults, notes: Sequence[str]) -> None:
    """Print what ran, what was found in each picture and how long that took, and what could not be read."""
    show("{")
    show(f'  "out": {json_text(str(out))},')
    show(f'  "info": {indent(json_text(info), "  ").lstrip()},')
    _print_list("pictures", (_entry(line) for line in results.lines() if isinstance(line, Picture)), ",")
    _print_list("failures", (line.error for line in results.lines() if isinstance(line, Failure)), ",")
    _print_list("notes", notes, "")
    show("}")


def _entry(picture: Picture) -> dict[str, Any]:
    return {
        "file": picture.file,
        "instances": len(picture.annotations),
        "timings_ms": dict(picture.timings_ms),
    }


def _print_list(name: str, items: Iterable[object], comma: str) -> None:
    listed = iter(items)
    first = next(listed, None)
    if first is None:
        show(f'  "{name}": []{comma}')
        return
    show(f'  "{name}": [')
    for item, following in itertools.pairwise(itertools.chain([first], listed, [None])):
        show(indent(json_text(item), "    ") + ("" if following is None else ","))
    show(f"  ]{comma}")
