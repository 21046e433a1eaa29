"""The options of an engine, as arguments of a process that measures one bundle."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any


def engine_arguments(
    *,
    backend: str | None,
    device: str,
    precision: str,
    threads: int | None,
    properties: Mapping[str, str] | None,
) -> list[str]:
    """Return options of ``Segmenter.load`` as arguments, which :func:`engine_given` reads."""
    arguments = ["--device", device, "--precision", precision]
    arguments += ["--threads", str(threads)] if threads is not None else []
    arguments += ["--backend", backend] if backend is not None else []
    arguments += [f"--property={name}={value}" for name, value in (properties or {}).items()]
    return arguments


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to the parser of such a process."""
    parser.add_argument("--device", default="CPU")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--backend")
    parser.add_argument("--property", action="append", default=[])


def engine_given(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, as ``Segmenter.load`` takes them."""
    return {
        "backend": args.backend,
        "device": args.device,
        "precision": args.precision,
        "threads": args.threads,
        "properties": dict(item.split("=", 1) for item in args.property),
    }
