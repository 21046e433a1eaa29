"""Values on the command line that are neither numbers nor paths."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edgeblend.errors import InputError
from edgeblend.files import paths


def parse_size(text: str) -> tuple[int, int]:
    """Return ``HxW`` as (height, width).

    Raises:
        ArgumentTypeError: the text is no such size.
    """
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HxW such as 512x736, got {text!r}") from None


def parse_class_names(text: str) -> list[str] | Path:
    """Return names that are separated by commas, or the path of a file that has them."""
    path = Path(text)
    # One name without a comma could be a class; with a folder or a suffix it was meant as a file.
    if "," in text or not (paths.is_file(path) or path.suffix or len(path.parts) > 1):
        return [name.strip() for name in text.split(",")]
    return path


def parse_properties(given: Sequence[str]) -> dict[str, str]:
    """Return the values of ``--property NAME=VALUE`` as a mapping.

    Raises:
        InputError: one has no name or no ``=``.
    """
    properties = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise InputError(f"--property {item}: expected NAME=VALUE")
        properties[name] = value
    return properties
