"""What became of a case, and where in the package it went wrong."""

from __future__ import annotations

import importlib.util
import pickle
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Literal

from edgeblend.errors import EdgeBlendError

LONGEST_MESSAGE = 1000
"""Characters; a longer one is a list that should have been cut."""

_LISTED = ("edgeblend", "edgeblend.runtime", "edgeblend.calibration", "edgeblend.converters")
_FRAME = re.compile(r'File "(.+)", line (\d+) in (\S+)')


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case did."""

    kind: str
    seed: int | str
    status: Literal["accepted", "refused", "failed"]
    reason: str = ""
    """Of a refusal, the error's class; of a failure an exception's class, a signal, ``hang`` and so on."""
    where: str = ""
    """Of a failure, the innermost function of the package, such as ``runtime/images.py:57 read_image``."""
    message: str = ""
    seconds: float = 0.0
    grown: int = 0
    """Bytes of memory that the case took at its peak."""

    @property
    def name(self) -> str:
        """What the command's ``--only`` takes."""
        return f"{self.kind}:{self.seed}"

    @property
    def group(self) -> tuple[str, str]:
        """Failures of one group most likely have one cause; it has no line numbers, which move."""
        return self.reason, re.sub(r":\d+ ", " ", self.where)


def fault_of(error: BaseException, allowed: tuple[type[EdgeBlendError], ...]) -> str:
    """Return what is wrong with an exception that a user would meet; "" if it is an error as promised."""
    if not isinstance(error, EdgeBlendError):
        return type(error).__name__
    text = str(error)
    if not isinstance(error, allowed):
        return f"{type(error).__name__}, not {' or '.join(kind.__name__ for kind in allowed)}"
    if not text.strip():
        return "message: empty"
    if "\n" in text or "\r" in text:
        return "message: more than one line"
    if len(text) > LONGEST_MESSAGE:
        return f"message: longer than {LONGEST_MESSAGE} characters"
    try:
        copied = pickle.loads(pickle.dumps(error))
    except Exception as problem:
        return f"message: does not pickle ({type(problem).__name__})"
    same = type(copied) is type(error) and str(copied) == text
    return "" if same else "message: another one after pickling"


def place_of(traceback: TracebackType | None) -> str:
    """Return the innermost frame of the package; where there is none, that of the fuzzer."""
    ours, last = "", ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frame = _shown(code.co_filename, traceback.tb_lineno, code.co_qualname)
        ours, last = frame or ours, f"{Path(code.co_filename).name}:{traceback.tb_lineno} {code.co_qualname}"
        traceback = traceback.tb_next
    return ours or last


def place_in_dump(dump: str) -> str:
    """Return the innermost frame of the package in what ``faulthandler`` wrote, innermost first.

    The thread that was running comes last if it is one of several, and is called the current one.
    """
    current = dump[dump.rfind("Current thread") :] if "Current thread" in dump else dump
    for file, line, function in _FRAME.findall(current):
        if frame := _shown(file, int(line), function):
            return frame
    return ""


def _shown(file: str, line: int, function: str) -> str:
    """Return a frame as ``runtime/images.py:57 read_image``, or "" if it is not the package's."""
    for folder in _folders():
        if Path(file).is_relative_to(folder):
            return f"{Path(file).relative_to(folder.parent).as_posix()}:{line} {function}"
    return ""


@cache
def _folders() -> tuple[Path, ...]:
    """The folders of the package, which lie apart in a checkout."""
    specs = [importlib.util.find_spec(name) for name in _LISTED]
    return tuple(Path(spec.origin).parent for spec in specs if spec is not None and spec.origin)
