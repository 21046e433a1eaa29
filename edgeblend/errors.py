"""Every error this package raises on purpose.

A message says what was expected, what came, and what to do next, in one line of at most 1,000 characters. The
command line prints the message alone and exits with the class's ``exit_code``.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

__all__ = [
    "AccuracyError",
    "BundleError",
    "CheckpointError",
    "ConfigError",
    "ConversionError",
    "EdgeBlendError",
    "EngineError",
    "InputError",
    "OutputError",
    "TrainingError",
]

_Error = TypeVar("_Error", bound=BaseException)

_LONGEST = 1000  # characters of a message that are shown
_END = 250  # how many of them are its end, which says what to do

_SWALLOWED = re.compile(r"\b(https?|ftps?|gs|s3|rtmps?|rtsps?|srt|tcp|udp|git|ssh):/(?!/)")
"""An address that was taken for a path, which leaves one of its slashes."""


class EdgeBlendError(Exception):
    """Root of all errors raised on purpose; catch it to catch them all.

    Every subclass can be pickled and copied, whatever its constructor takes: what an error carries beside its
    text lies in its attributes.
    """

    exit_code = 1
    frame_index: int | None = None
    """Index of the frame in its stream, from 0; None outside a stream."""

    def __str__(self) -> str:
        """Return the message as one line of limited length, whatever engines, files and names put into it.

        All of it is in ``args``.
        """
        line = _SWALLOWED.sub(r"\1://", one_line(super().__str__()))
        return line if len(line) <= _LONGEST else f"{line[: _LONGEST - _END - 5]} ... {line[-_END:]}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild without the constructor; attributes follow as the state."""
        return _bare_error, (type(self), self.args), dict(self.__dict__)


def one_line(message: object) -> str:
    """Return a message without line breaks: engines and operating systems put some into theirs."""
    return " ".join(line.strip() for line in str(message).splitlines() if line.strip())


def with_text(error: _Error, text: str) -> _Error:
    """Return an error of the same class, with the same attributes, that says something else.

    The constructor is not called, since some classes take more than a text.
    """
    told = _bare_error(type(error), (text,))
    told.__dict__.update(error.__dict__)
    if notes := getattr(error, "__notes__", None):
        told.__notes__ = list(notes)
    return told


def _bare_error(kind: type[_Error], args: tuple[Any, ...]) -> _Error:
    """Return an error of a class with its arguments, and none of the attributes that its constructor sets."""
    return kind.__new__(kind, *args)


class InputError(EdgeBlendError):
    """A picture, an array, a path or an argument cannot be used."""

    exit_code = 3


class ConfigError(EdgeBlendError):
    """A config name or YAML file is unknown, contradictory or not supported."""

    exit_code = 4


class CheckpointError(EdgeBlendError):
    """A checkpoint is missing, broken, unsafe to open, or belongs to another config."""

    exit_code = 5


class BundleError(EdgeBlendError):
    """A bundle is missing, incomplete, altered, or of a version this package does not read."""

    exit_code = 6


class EngineError(EdgeBlendError):
    """An engine or a device is unknown, not there, or failed; see also :class:`MissingPackageError`."""

    exit_code = 7


class MissingPackageError(EdgeBlendError, ImportError):
    """A package that the task needs is not installed. The message names the extra that brings it.

    It is an ``ImportError``, too, so that code which makes do without a package can catch it as one.
    """

    exit_code = 13
    # Plain class attributes: an instance keeps its own in its dictionary, where pickling finds them.
    name: str | None = None
    """Name that failed to be imported; None where it is not known."""
    extra: str | None = None
    """Extra of edgeblend that brings the package; None where none does."""

    def __init__(self, message: str, *, name: str | None = None, extra: str | None = None) -> None:
        super().__init__(message)
        self.name, self.extra = name, extra

    @classmethod
    def for_task(cls, task: str, name: str | None, *, extra: str) -> MissingPackageError:
        """Return the error of a task, such as ``converting``, that needs a package of an extra."""
        message = f'{task} needs {name}, which is not installed; run `pip install "edgeblend[{extra}]"`'
        return cls(message, name=name, extra=extra)


class ConversionError(EdgeBlendError):
    """A conversion failed, or its result differs from the original beyond tolerance."""

    exit_code = 8


class TrainingError(EdgeBlendError):
    """Training cannot go on: its losses are not finite, or there is nothing to learn from."""

    exit_code = 10


class AccuracyError(EdgeBlendError):
    """A model is less accurate than was asked for."""

    exit_code = 11


class OutputError(EdgeBlendError):
    """A result cannot be written where it was asked for; nothing was written."""

    exit_code = 9
