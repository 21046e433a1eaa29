"""One check each for arguments that are numbers or paths.

A value of the wrong type is refused like one that is out of range, where the caller hands it in, and not by
whatever meets it first.
"""

from __future__ import annotations

import numbers
from os import PathLike
from pathlib import Path

from edgeblend.errors import InputError


def check_whole(name: str, value: object, lowest: int, highest: int) -> int:
    """Return a whole number, NumPy's own included, as an ``int``.

    Args:
        name: the argument, as the caller writes it.
        value: what was given.
        lowest: the least that it may be.
        highest: the most that it may be.

    Raises:
        InputError: no whole number, a truth value, or one out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InputError(f"{name}: got {value!r}; give a whole number from {lowest} to {highest}")
    number = int(value)
    if number < lowest:
        raise InputError(f"{name} must be at least {lowest}, got {number}")
    if number > highest:
        raise InputError(f"{name} must be at most {highest}, got {number}")
    return number


def check_share(name: str, value: object) -> float:
    """Return a number from 0 to below 1 as a ``float``.

    Raises:
        InputError: no number, a truth value, NaN, or one out of range.
    """
    if not isinstance(value, bool) and isinstance(value, numbers.Real) and 0 <= float(value) < 1:
        return float(value)
    raise InputError(f"{name} must be at least 0 and below 1, got {value!r}")


def check_probability(name: str, value: object) -> float:
    """Return a number from 0 to 1, NumPy's own included, as a ``float``.

    Raises:
        InputError: no number, a truth value, NaN, or one out of range.
    """
    if not isinstance(value, bool) and isinstance(value, numbers.Real) and 0 <= float(value) <= 1:
        return float(value)
    raise InputError(f"{name} must be from 0 to 1, got {value!r}")


def check_path(name: str, value: object) -> Path:
    """Return the path of a file or folder as a ``Path``; whether anything can be there is another question.

    Raises:
        InputError: no text and no path; bytes are none.
    """
    if not isinstance(value, str | PathLike):
        raise InputError(f"{name}: got {value!r}; give the path of a file or folder")
    return Path(value)
