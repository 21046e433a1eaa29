"""The command line: ``edgeblend demo | train | convert | quantize | compare | ...``.

Exit codes: 0 done; 1 unexpected failure; 2 wrong usage; 3 to 11 as the classes in
:mod:`edgeblend.errors` say; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from edgeblend import __version__
from edgeblend.cli import bench, compare, convert, demo, doctor, inspect, quantize, run, sensitivity, train
from edgeblend.errors import EdgeBlendError

_COMMANDS = (demo, train, convert, quantize, compare, bench, sensitivity, inspect, run, doctor)
_EPILOG = """\
exit codes:
  0 done   1 unexpected failure   2 wrong usage   3 input   4 config   5 checkpoint
  6 bundle   7 engine or device   8 conversion   9 output   10 training   11 accuracy
  130 interrupted
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the usage in one line, like every other error here."""

    def error(self, message: str) -> NoReturn:
        """Name the mistake and leave with exit code 2."""
        self.exit(2, f"edgeblend: error: {_one_line(message)} (`{self.prog} --help` shows the usage)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        code = int(args.command(args))
        sys.stdout.flush()  # a reader that has gone shows here, not while Python shuts down
        return code
    except KeyboardInterrupt:
        print("edgeblend: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _report(error, debug=args.debug)


def _report(error: Exception, *, debug: bool) -> int:
    """Print an error, as one line or as a traceback, and return its exit code."""
    if debug:
        traceback.print_exc()
    elif isinstance(error, EdgeBlendError):
        print(f"edgeblend: error: {_one_line(error)}", file=sys.stderr)
    else:
        what = f"{type(error).__name__}: {_one_line(error)}"
        print(f"edgeblend: unexpected failure: {what} (--debug shows where)", file=sys.stderr)
    return error.exit_code if isinstance(error, EdgeBlendError) else 1


def _one_line(message: object) -> str:
    # Engines and operating systems put line breaks into theirs.
    return " ".join(line.strip() for line in str(message).splitlines() if line.strip())


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands; it imports no engine, no torch and no NumPy."""
    parser = _Parser(
        prog="edgeblend",
        description="BlendMask instance segmentation on edge devices.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edgeblend {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    for command in _COMMANDS:
        command.add_parser(commands, common)
    return parser
