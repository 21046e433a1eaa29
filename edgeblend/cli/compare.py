"""``edgeblend compare``: candidates judged against a reference bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeblend.errors import AccuracyError, InputError
from edgeblend.terminal.engine_options import add_engine_options
from edgeblend.terminal.output import show, silence_opencv
from edgeblend.terminal.printing import print_json
from edgeblend.terminal.report_files import ReportFiles
from edgeblend.terminal.setup_syntax import SYNTAX, parse_setup

_EPILOG = f"""\
With --annotations the drop is the loss of box AP or of mask AP, whichever is larger, in AP points.
Without annotations it is 100 less the agreement with the reference. The exit code is 11 if a
candidate fails or its drop is larger than --max-drop. The report is printed in any case.

{SYNTAX}
examples:
  edgeblend compare fp32 int8 --images val --annotations val.json --html comparison.html
  edgeblend compare fp32 int8 int8@device=GPU --images val
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        parents=[common],
        help="judge bundles against a reference: accuracy, agreement, noise, speed, memory",
        description="Measure candidate bundles beside a reference bundle, on the same images in one run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "reference", type=parse_setup, help="bundle that the candidates are judged against, usually in fp32"
    )
    parser.add_argument(
        "candidates", type=parse_setup, nargs="+", metavar="candidate", help="bundle to judge, see below"
    )
    parser.add_argument("--images", required=True, type=Path, metavar="DIR", help="folder of images")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="COCO file of these images")
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="X",
        help="largest drop that is allowed (default: 0.5 AP points; without annotations 5)",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="measure on N images, spread evenly (default: all)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print everything as JSON")
    output.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    output.add_argument("--html", type=Path, metavar="FILE", help="write one page with charts and images")
    output.add_argument(
        "--pictures",
        type=int,
        default=6,
        metavar="N",
        help="number of images on the page where each candidate disagrees most (default: 6)",
    )
    output.add_argument("--overwrite", action="store_true", help="replace files that exist")
    add_engine_options(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Compare, write and print; the exit code says whether every candidate is OK."""
    from edgeblend.calibration.evaluation.compare import compare
    from edgeblend.report.compare.document import as_document
    from edgeblend.report.compare.page import page
    from edgeblend.report.compare.text import markdown, report_lines

    silence_opencv()
    if args.pictures < 0:
        raise InputError(f"--pictures must be at least 0, got {args.pictures}")
    files = ReportFiles({"--markdown": args.markdown, "--html": args.html}, overwrite=args.overwrite)
    report = compare(
        args.reference,
        args.candidates,
        args.images,
        annotations=args.annotations,
        max_drop=args.max_drop,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        limit=args.limit,
        disagreements=args.pictures,
        progress=sys.stderr.isatty(),
    )
    # Files come first, whoever reads the rest; if they cannot be written, what was measured is not lost.
    failure = files.write({"--markdown": lambda: markdown(report), "--html": lambda: page(report)})
    if args.json:
        print_json(as_document(report))
    else:
        for line in report_lines(report, files.written):
            show(line)
    if failure is not None:
        raise failure
    return 0 if report.ok else AccuracyError.exit_code
