"""``edgeblend bench``: how fast bundles are, and where a frame's time goes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from edgeblend.errors import OutputError
from edgeblend.terminal.engine_options import add_engine_options
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import as_text, print_json

if TYPE_CHECKING:
    from edgeblend.calibration.bench.report import BenchReport
    from edgeblend.files.staging import Found

_TEXT_WIDTH = 100
_EPILOG = """\
IMAGES is a picture, a folder, a quoted glob or a video, of which 16 frames are taken, spread evenly.
Without it, a photograph that comes with edgeblend is scaled to each bundle's canvas.

example:
  edgeblend bench r50 r50-int8 --images street.mp4 --html speed.html
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "bench",
        parents=[common],
        help="measure speed stage by stage, streaming, start and memory",
        description="Measure how fast bundles are, by turns in one run, and where a frame's time goes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundles", type=Path, nargs="+", metavar="bundle", help="bundles to measure")
    parser.add_argument("--images", metavar="IMAGES", help="where frames come from")
    parser.add_argument(
        "--frame-size", type=_size, metavar="HxW", help="scale frames to this size first, such as 720x1280"
    )
    parser.add_argument("--score-threshold", type=float, metavar="S", help="report scores of at least this")
    parser.add_argument(
        "--seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="how long to measure each bundle (default: 10)",
    )
    parser.add_argument(
        "--streams",
        type=int,
        metavar="N",
        help="frames that the engine computes at a time when streaming (default: one a CPU core or thread)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print everything as JSON")
    output.add_argument("--html", type=Path, metavar="FILE", help="write one page with charts")
    output.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    add_engine_options(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write and print."""
    import cv2

    from edgeblend.calibration.bench.bench import bench
    from edgeblend.files.staging import check_file

    # What is wrong with a picture is said once, by us; this process is ours, so the level is, too.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    found = None if args.html is None else check_file(args.html, overwrite=args.overwrite)
    report = bench(
        args.bundles,
        args.images,
        frame_size=args.frame_size,
        score_threshold=args.score_threshold,
        seconds=args.seconds,
        streams=args.streams,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        progress=sys.stderr.isatty(),
    )
    # The file comes first, whoever reads the rest; if it cannot be written, what was measured is not lost.
    failure = _write(report, args.html, found)
    _print(report, args, written=failure is None and args.html is not None)
    if failure is not None:
        raise failure
    return 0


def _write(report: BenchReport, path: Path | None, found: Found | None) -> OutputError | None:
    from edgeblend.files.staging import write_atomically
    from edgeblend.report.bench.page import page

    if path is not None:
        try:
            write_atomically(path, as_text(page(report)).encode("utf-8"), found=found)
        except OutputError as error:
            return error
    return None


def _print(report: BenchReport, args: argparse.Namespace, *, written: bool) -> None:
    from edgeblend.report.bench.document import as_document
    from edgeblend.report.bench.text import explanations, facts, terminal_lines

    if args.json:
        print_json(as_document(report))
        return
    for line in facts(report):
        show(fill(as_text(line), _TEXT_WIDTH, subsequent_indent="  "))
    for line in ("", *terminal_lines(report), ""):
        show(as_text(line))
    for line in explanations(report):
        show(fill(line, _TEXT_WIDTH, subsequent_indent="  "))
    if written:
        show(f"\nwritten: {as_text(args.html)}")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HxW such as 720x1280, got {text!r}") from None
