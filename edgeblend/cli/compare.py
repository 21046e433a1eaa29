"""``edgeblend compare``: candidates judged against a reference bundle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from edgeblend.errors import AccuracyError, InputError, OutputError
from edgeblend.terminal.engine_options import add_engine_options
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import as_text, print_json

if TYPE_CHECKING:
    from edgeblend.calibration.evaluation.compare_report import CompareReport
    from edgeblend.files.staging import Found

_TEXT_WIDTH = 110
_EPILOG = """\
With --annotations the drop is what box AP or mask AP lost, in AP points; without, it is 100 less
the agreement with the reference. A candidate with a larger drop than --max-drop, or that fails,
makes the exit code 11; everything is printed all the same.

example:
  edgeblend compare fp32 int8 --images val --annotations val.json --html comparison.html
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        parents=[common],
        help="judge bundles against a reference: accuracy, agreement, noise, speed, memory",
        description="Measure candidate bundles beside a reference bundle, on the same pictures in one run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("reference", type=Path, help="the bundle that is right, usually float32")
    parser.add_argument("candidates", type=Path, nargs="+", metavar="candidate", help="bundles to judge")
    parser.add_argument("--images", required=True, type=Path, metavar="DIR", help="folder of pictures")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="COCO file of these pictures")
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="X",
        help="how much a candidate may lose (default: 0.5 AP points; without annotations 5)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="measure on N pictures, spread evenly")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print everything as JSON")
    output.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    output.add_argument("--html", type=Path, metavar="FILE", help="write one page with charts and pictures")
    output.add_argument(
        "--pictures",
        type=int,
        default=6,
        metavar="N",
        help="pictures on the page where each candidate disagrees most (default: 6)",
    )
    output.add_argument("--overwrite", action="store_true", help="replace files that exist")
    add_engine_options(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Compare, write and print; the exit code says whether every candidate is OK."""
    import cv2

    from edgeblend.calibration.evaluation.compare import compare

    # What is wrong with a picture is said once, by us; this process is ours, so the level is, too.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    found = _check_output(args)
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
    written, failure = _write(report, args, found)
    _print(report, args, written)
    if failure is not None:
        raise failure
    return 0 if report.ok else AccuracyError.exit_code


def _check_output(args: argparse.Namespace) -> dict[Path, Found]:
    """Refuse what cannot be written; returns what is there now of the files to make."""
    from edgeblend.files.staging import check_file

    if args.pictures < 0:
        raise InputError(f"--pictures must be at least 0, got {args.pictures}")
    found = {
        path: check_file(path, overwrite=args.overwrite)
        for path in (args.markdown, args.html)
        if path is not None
    }
    if args.markdown is not None and args.html is not None and args.markdown.resolve() == args.html.resolve():
        raise OutputError(f"{args.html}: named for both --markdown and --html; choose two names")
    return found


def _write(
    report: CompareReport, args: argparse.Namespace, found: Mapping[Path, Found]
) -> tuple[list[Path], OutputError | None]:
    """Write the files that were asked for; returns those that are there, and what went wrong."""
    from edgeblend.files.staging import write_atomically
    from edgeblend.report.compare.page import page
    from edgeblend.report.compare.text import markdown

    written: list[Path] = []
    for path, render in ((args.markdown, markdown), (args.html, page)):
        if path is not None:
            try:
                write_atomically(path, as_text(render(report)).encode("utf-8"), found=found[path])
            except OutputError as error:
                return written, error
            written.append(path)
    return written, None


def _print(report: CompareReport, args: argparse.Namespace, written: list[Path]) -> None:
    from edgeblend.report.compare.document import as_document
    from edgeblend.report.compare.text import explanations, facts, terminal_lines, verdict

    if args.json:
        print_json(as_document(report))
        return
    for line in (*facts(report), "", *terminal_lines(report)):
        show(as_text(line))
    show()
    for line in explanations(report):
        show(fill(line, _TEXT_WIDTH, subsequent_indent="  "))
    show()
    show(as_text(verdict(report)))
    for path in written:
        show(f"written: {as_text(path)}")
