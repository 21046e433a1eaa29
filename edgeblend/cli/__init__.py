"""The command line: ``edgeblend convert | inspect | run | doctor``.

Exit codes: 0 done; 1 unexpected failure; 2 wrong usage; 3 to 9 as the classes in
:mod:`edgeblend.errors` say; 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from edgeblend import __version__
from edgeblend.cli import convert, doctor, inspect, run
from edgeblend.errors import EdgeBlendError

_COMMANDS = (convert, inspect, run, doctor)
_EPILOG = """\
exit codes:
  0 done   1 unexpected failure   2 wrong usage   3 input   4 config   5 checkpoint
  6 bundle   7 engine or device   8 conversion   9 output   130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.command(args))
    except KeyboardInterrupt:
        print("edgeblend: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 1
    except EdgeBlendError as error:
        if args.debug:
            raise
        print(f"edgeblend: error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if args.debug:
            raise
        print(
            f"edgeblend: unexpected failure: {type(error).__name__}: {error} (--debug shows where)",
            file=sys.stderr,
        )
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands; it imports no engine, no torch and no NumPy."""
    parser = argparse.ArgumentParser(
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
