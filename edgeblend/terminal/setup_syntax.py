"""A bundle with options of its own on the command line: ``BUNDLE@device=GPU,threads=2``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from edgeblend.files import paths

if TYPE_CHECKING:
    from edgeblend.calibration.measuring.setups import Setup

SYNTAX = """\
A bundle can have options of its own after an @: BUNDLE@NAME=VALUE,NAME=VALUE. The names are device,
precision, threads, backend, property.NAME (an option of the engine) and name (for tables and charts).
They override --device, --precision and --threads. A path that exists is taken as it is.
"""
"""Paragraph for the help of commands that take bundles in this syntax."""

_OPTIONS = re.compile(r"(?P<path>.+)@(?P<options>[A-Za-z][^=@,]*=.*)", re.DOTALL)
NAMES = ("device", "precision", "threads", "backend", "name")
"""Options of a bundle, beside those of its engine."""
_PROPERTY = "property."


def parse_setup(text: str) -> Setup:
    """Return a bundle and its own options; where there is such a path, it is the whole of it.

    Raises:
        ArgumentTypeError: an option is unknown, comes twice or has a value of another kind.
        InputError: a value is out of range.
    """
    from edgeblend.calibration.measuring.setups import Setup

    found = None if paths.exists(Path(text)) else _OPTIONS.fullmatch(text)
    if found is None:
        return Setup(Path(text))
    return Setup(Path(found["path"]), **_read(found["options"], text))


def _read(options: str, text: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for name, value in _split(options):
        key = name.removeprefix(_PROPERTY)
        if name in given or (key != name and key in properties):
            raise argparse.ArgumentTypeError(f"{text}: {name} is given twice; give it once")
        if key == name:
            given[name] = _value(name, value, text)
        else:
            properties[key] = value
    return {**given, **({"properties": properties} if properties else {})}


def _split(options: str) -> list[tuple[str, str]]:
    """Return names and values. A piece without a ``=`` belongs to the value before it: ``AUTO:GPU,CPU``."""
    pieces: list[str] = []
    for piece in options.split(","):
        if "=" in piece or not pieces:
            pieces.append(piece)
        else:
            pieces[-1] += f",{piece}"
    split = [piece.partition("=") for piece in pieces]
    return [(name.strip(), value) for name, _, value in split]


def _value(name: str, value: str, text: str) -> str | int:
    from edgeblend.runtime.backends.base import Precision

    if name not in NAMES:
        known = ", ".join((*NAMES, f"{_PROPERTY}NAME"))
        raise argparse.ArgumentTypeError(f"{text}: unknown option {name!r}; the options are {known}")
    if not value:
        raise argparse.ArgumentTypeError(f"{text}: {name} has no value; write {name}=VALUE, or leave it out")
    if name == "precision" and value not in get_args(Precision):
        words = ", ".join(get_args(Precision))
        raise argparse.ArgumentTypeError(f"{text}: unknown precision {value!r}; choose one of {words}")
    if name != "threads":
        return value
    try:
        return int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: threads is {value!r}; give a whole number") from None
