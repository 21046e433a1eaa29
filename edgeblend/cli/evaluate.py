"""``edgeblend evaluate``: how accurate one bundle is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from textwrap import fill

from edgeblend.terminal.engine_options import add_engine_options
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import as_text, print_json

_TEXT_WIDTH = 110
_EPILOG = """\
AP is COCO's average precision, 0 to 100. Classes are matched by name, so the category ids of the
annotations need not be those of the bundle. It needs the extra "accuracy". `edgeblend compare` sets
several bundles side by side.

example:
  edgeblend evaluate r50 --images val --annotations val.json
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        parents=[common],
        help="measure the accuracy of one bundle on labelled images",
        description="Measure AP of boxes and masks, by class and by object size, and the time per frame.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="folder or .zip made by `edgeblend convert`")
    parser.add_argument("--images", required=True, type=Path, metavar="DIR", help="folder of images")
    parser.add_argument(
        "--annotations", required=True, type=Path, metavar="FILE", help="COCO file of these images"
    )
    parser.add_argument("--boundary", action="store_true", help="measure Boundary AP, too; takes longer")
    parser.add_argument("--limit", type=int, metavar="N", help="measure on N images, spread evenly")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    add_engine_options(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    import cv2

    from edgeblend.calibration.evaluation.evaluate import evaluate
    from edgeblend.report.evaluation import as_document, explanations, facts, terminal_lines

    # What is wrong with an image is said once, by us; this process is ours, so the level is, too.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    report = evaluate(
        args.bundle,
        args.images,
        args.annotations,
        boundary=args.boundary,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        limit=args.limit,
        progress=sys.stderr.isatty(),
    )
    if args.json:
        print_json(as_document(report))
        return 0
    for line in (*facts(report), "", *terminal_lines(report), ""):
        show(as_text(line))
    for line in explanations(report):
        show(fill(line, _TEXT_WIDTH, subsequent_indent="  "))
    return 0
