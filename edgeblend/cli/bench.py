"""``edgeblend bench``: how fast bundles are, and where a frame's time goes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeblend.terminal.engine_options import add_engine_options
from edgeblend.terminal.output import show, silence_opencv
from edgeblend.terminal.printing import print_json
from edgeblend.terminal.report_files import ReportFiles
from edgeblend.terminal.setup_syntax import SYNTAX, parse_setup
from edgeblend.terminal.values import parse_size

_EPILOG = f"""\
IMAGES is an image, a folder, a quoted glob or a video. At most 16 frames are taken, spread evenly.
Without IMAGES, a photograph that comes with edgeblend is scaled to each bundle's canvas.

{SYNTAX}
examples:
  edgeblend bench r50 r50-int8 --images street.mp4 --html speed.html
  edgeblend bench r50 r50@threads=1 r50@device=GPU,precision=f16
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "bench",
        parents=[common],
        help="measure the speed of every stage, of streaming and of the start, and memory",
        description="Measure how fast bundles are and where the time of a frame goes, in turns in one run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bundles", type=parse_setup, nargs="+", metavar="bundle", help="bundle to measure, see below"
    )
    parser.add_argument("--images", metavar="IMAGES", help="source of the frames, see below")
    parser.add_argument(
        "--frame-size",
        type=parse_size,
        metavar="HxW",
        help="scale frames to this size first, such as 720x1280",
    )
    parser.add_argument("--score-threshold", type=float, metavar="S", help="lowest score of a detection")
    parser.add_argument(
        "--seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds to measure each bundle for (default: 10)",
    )
    parser.add_argument(
        "--streams",
        type=int,
        metavar="N",
        help="number of frames that the engine computes at a time (default: one per CPU core or thread)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print everything as JSON")
    output.add_argument("--html", type=Path, metavar="FILE", help="write one page with charts")
    output.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    add_engine_options(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write and print."""
    from edgeblend.calibration.bench.bench import bench
    from edgeblend.report.bench.document import as_document
    from edgeblend.report.bench.page import page
    from edgeblend.report.bench.text import report_lines

    silence_opencv()
    files = ReportFiles({"--html": args.html}, overwrite=args.overwrite)
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
    failure = files.write({"--html": lambda: page(report)})
    if args.json:
        print_json(as_document(report))
    else:
        for line in report_lines(report, files.written):
            show(line)
    if failure is not None:
        raise failure
    return 0
