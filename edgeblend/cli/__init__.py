"""The command line: ``edgeblend demo | train | convert | quantize | compare | ...``.

Exit codes: 0 done; 1 unexpected failure; 2 wrong usage; 3 to 11 and 13 as the classes in
:mod:`edgeblend.errors` say; the others as :mod:`edgeblend.terminal.exit_codes` does.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from edgeblend import __version__
from edgeblend.cli import (
    bench,
    compare,
    convert,
    demo,
    doctor,
    evaluate,
    inspect,
    quantize,
    run,
    sensitivity,
    train,
)
from edgeblend.errors import EdgeBlendError, one_line
from edgeblend.terminal.exit_codes import READER_GONE, UNEXPECTED, listed
from edgeblend.terminal.output import (
    finish,
    give_up_on_broken_streams,
    open_closed_streams,
    show,
    tell,
)
from edgeblend.terminal.stopping import Stopped, stopped_by_signals

_COMMANDS = (demo, train, convert, quantize, evaluate, compare, bench, sensitivity, inspect, run, doctor)
_EPILOG = f"exit codes:\n{listed()}\n"
_INTERRUPTED = 130
_SAFE_PATH = "PYTHONSAFEPATH"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the usage in one line, like every other error here."""

    def error(self, message: str) -> NoReturn:
        """Name the mistake and leave with exit code 2."""
        self.exit(2, f"edgeblend: error: {one_line(message)} (`{self.prog} --help` shows the usage)\n")

    def _print_message(self, message: str, file: object = None) -> None:
        """Print as everything else here does; argparse itself passes over what cannot be written."""
        write = show if file is sys.stdout else tell
        write(message.removesuffix("\n"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    open_closed_streams()
    args: argparse.Namespace | None = None
    with _processes_import_nothing_from_here(), stopped_by_signals():
        try:
            args = _parse(argv)
            code = int(args.command(args))
            finish()
            return code
        except KeyboardInterrupt as stop:
            tell(f"edgeblend: {stop if isinstance(stop, Stopped) else 'interrupted'}")
            code = stop.exit_code if isinstance(stop, Stopped) else _INTERRUPTED
        except BrokenPipeError:
            code = READER_GONE  # there is nobody left to tell
        except Exception as error:
            code = _report(error, debug=args is not None and args.debug)
        give_up_on_broken_streams()
        return code


@contextmanager
def _processes_import_nothing_from_here() -> Iterator[None]:
    """Have Python processes that libraries start, such as those that load data, not look for modules here."""
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    try:
        return build_parser().parse_args(argv)
    except SystemExit:
        finish()  # what --help printed
        raise


def _report(error: Exception, *, debug: bool) -> int:
    """Print an error, as one line or as a traceback, and return its exit code."""
    if debug:
        tell(traceback.format_exc().rstrip())
    elif isinstance(error, EdgeBlendError):
        tell(f"edgeblend: error: {error}")
    else:
        what = f"{type(error).__name__}: {one_line(error)}"
        tell(f"edgeblend: unexpected failure: {what} (--debug shows where)")
    return error.exit_code if isinstance(error, EdgeBlendError) else UNEXPECTED


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
