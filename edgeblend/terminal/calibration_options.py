"""The options of commands that quantize: by which recipe, and on which frames."""

from __future__ import annotations

import argparse


def add_calibration_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--calibration``, ``--recipe``, ``--seed``, ``--frames`` and ``--every``."""
    parser.add_argument(
        "--calibration",
        "-c",
        required=True,
        metavar="CALIBRATION",
        help="folder, quoted glob, COCO file or video of the calibration frames",
    )
    parser.add_argument(
        "--recipe", default="int8", help="int8, int8-accurate, or a JSON file (default: int8)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of frames (default: 0)")
    parser.add_argument(
        "--frames", type=int, default=300, metavar="N", help="number of frames to choose (default: 300)"
    )
    parser.add_argument("--every", type=int, metavar="N", help="consider every N-th frame only")
