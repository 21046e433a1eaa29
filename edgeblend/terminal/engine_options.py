"""The options that commands which run bundles have in common."""

from __future__ import annotations

import argparse


def add_engine_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add ``--device``, ``--precision`` and ``--threads``, and return their group."""
    group = parser.add_argument_group("engine")
    group.add_argument(
        "--device",
        default="CPU",
        help="CPU, GPU, NPU, AUTO:GPU,CPU, CUDA, ..., or the path of a TFLite delegate (default: CPU)",
    )
    group.add_argument(
        "--precision",
        choices=("f32", "bf16", "f16", "engine"),
        default="f32",
        help="precision that graphs are computed in; 'engine' leaves it to the engine (default: f32)",
    )
    group.add_argument(
        "--threads", type=int, metavar="N", help="number of CPU threads (default: one per core)"
    )
    return group
