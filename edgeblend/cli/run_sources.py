"""Which pictures a run takes, and what to say of what it does not take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgeblend.calibration.sources import find_images
from edgeblend.calibration.video import VIDEO_SUFFIXES
from edgeblend.errors import InputError
from edgeblend.paths import exists, is_dir

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_STREAMS = "docs/python.md shows how a program segments a stream"


def find_pictures(patterns: Sequence[str]) -> list[Path]:
    """Return the pictures that patterns name, in their order, each once.

    Raises:
        InputError: a pattern names none, or a video, a stream, a camera or a COCO file.
    """
    for pattern in patterns:
        if (what := _other_source(pattern)) is not None:
            raise InputError(f"{pattern}: is {what}")
    return list(dict.fromkeys(path for pattern in patterns for path in find_images(pattern)))


def _other_source(pattern: str) -> str | None:
    """Return what a pattern names if not pictures, and which command takes it."""
    suffix = Path(pattern).suffix.lower()
    if is_dir(pattern):
        return None
    if suffix in VIDEO_SUFFIXES:
        return (
            "a video, and run takes images; `edgeblend quantize --calibration` and "
            f"`edgeblend bench --images` take videos, and {_STREAMS}"
        )
    if suffix == ".json":
        return (
            "a JSON file, and run takes images: name the folder of its images; `edgeblend compare "
            "--annotations` and `edgeblend quantize --calibration` take COCO files"
        )
    if exists(pattern):
        return None
    if _URL.match(pattern):
        return f"a URL, and run takes images in files; {_STREAMS}"
    if pattern.isascii() and pattern.isdigit():
        return f"no file, and run takes no cameras by their number; {_STREAMS}"
    return None
