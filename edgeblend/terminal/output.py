"""The one place where text goes out: results to standard output, everything else to standard error.

Names of classes and files come from data, and hold whatever somebody put there. What would move a terminal's
cursor, change its colours or reverse its text is escaped, and so is what the stream's encoding does not have.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TextIO

from edgeblend.errors import OutputError

_UNSAFE = re.compile(
    # Controls but tab and line feed; separators; what reverses text; halves of surrogate pairs.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def show(text: str = "") -> None:
    """Write a line, or several, to standard output.

    Raises:
        BrokenPipeError: whoever read it has gone.
        OutputError: it cannot be written for another reason, such as a disk that is full.
    """
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from error


def show_above_bars(text: str) -> None:
    """Write a line to standard output while a progress bar is on standard error."""
    from tqdm import tqdm

    with tqdm.external_write_mode():
        show(text)


def tell(text: str) -> None:
    """Write a line, or several, to standard error; where that cannot be, nobody listens."""
    with contextlib.suppress(OSError):
        _write(sys.stderr, text)
        sys.stderr.flush()


def printable(text: str) -> str:
    """Return text with what is no text for a terminal escaped as Python escapes it."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def finish() -> None:
    """Write out what standard output still holds: a reader that has gone shows here.

    Raises:
        BrokenPipeError: it has.
        OutputError: the text cannot be written for another reason.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from error


def give_up_on_broken_streams() -> None:
    """Send the rest of streams that cannot be written nowhere, or Python complains of them at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def silence_opencv() -> None:
    """Keep OpenCV from printing in this process, which is a command's: we say once what is wrong."""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def open_closed_streams() -> None:
    """Open the standard streams that whoever started this process had closed, onto nothing.

    Python has None for them. A file that is opened later would take a closed one's number, and get what a
    library in another language prints.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one's
            os.set_inheritable(descriptor, descriptor == number)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    line = f"{printable(text)}\n"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding))


def _unwritten(error: OSError) -> OutputError:
    return OutputError(f"standard output: cannot be written: {error}; make room, or send it elsewhere")
