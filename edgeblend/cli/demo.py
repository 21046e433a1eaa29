"""``edgeblend demo``: a shipped model converted, measured and shown, in one command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeblend.terminal.output import show, silence_opencv, tell
from edgeblend.terminal.printing import print_json

_EPILOG = """\
The command writes OUT/index.html (open it in a browser), OUT/comparison.html and OUT/comparison.json,
OUT/bundle and OUT/bundle-int8 (for `edgeblend run`), OUT/pictures, OUT/video.webm, and OUT/demo.json,
which lists all files. It takes two or three minutes on two CPU cores.

example:
  edgeblend demo
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        parents=[common],
        help="convert, quantize, compare and show a small trained model",
        description="Convert and quantize a small trained model, compare it with torch, show what it finds.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        "-o",
        type=Path,
        default=Path("edgeblend-demo"),
        help="folder to make (default: edgeblend-demo)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with another model and its images, laid out like the shipped one",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="compare on N images, spread evenly (default: all)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the folder of an earlier demo")
    parser.add_argument("--json", action="store_true", help="print demo.json and comparison.json as one")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Make the demo and say where it is."""
    from edgeblend.demo.make import make_demo
    from edgeblend.demo.text import terminal_lines

    silence_opencv()
    shown = sys.stderr.isatty()
    report, document = make_demo(
        args.out,
        data=args.data,
        limit=args.limit,
        overwrite=args.overwrite,
        say=tell if shown else lambda line: None,
        progress=shown,
    )
    if args.json:
        print_json({"out": str(args.out), **document})
        return 0
    for line in terminal_lines(report, args.out):
        show(line)
    return 0
