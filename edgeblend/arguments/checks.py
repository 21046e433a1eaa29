"""One check for each kind of argument: numbers, truth values, paths, sizes, lists.

A value of the wrong type is refused like one that is out of range, where the caller hands it in, and not by
whatever meets it first.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Collection, Iterable, Mapping, Set
from os import PathLike
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

from edgeblend.errors import InputError

_Kind = TypeVar("_Kind")

MOST = 2**63 - 1
"""Largest whole number that is accepted."""

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 100


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
        raise InputError(f"{name}: got {shown(value)}; give a whole number from {lowest} to {highest}")
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
    raise InputError(f"{name} must be at least 0 and below 1, got {shown(value)}")


def check_probability(name: str, value: object) -> float:
    """Return a number from 0 to 1, NumPy's own included, as a ``float``.

    Raises:
        InputError: no number, a truth value, NaN, or one out of range.
    """
    if not isinstance(value, bool) and isinstance(value, numbers.Real) and 0 <= float(value) <= 1:
        return float(value)
    raise InputError(f"{name} must be from 0 to 1, got {shown(value)}")


def check_path(name: str, value: object) -> Path:
    """Return the path of a file or folder as a ``Path``; whether anything can be there is another question.

    Raises:
        InputError: no text and no path; bytes are none.
    """
    if not isinstance(value, str | PathLike):
        raise InputError(f"{name}: got {shown(value)}; give the path of a file or folder")
    try:
        return Path(value)
    except TypeError:  # the path of a PathLike that is bytes
        raise InputError(f"{name}: got {shown(value)}; give the path of a file or folder as text") from None


def check_number(
    name: str,
    value: object,
    *,
    lowest: float = -math.inf,
    above: float = -math.inf,
    highest: float = math.inf,
) -> float:
    """Return a finite number, NumPy's own included, as a ``float``.

    Args:
        name: the argument, as the caller writes it.
        value: what was given.
        lowest: the least that it may be.
        above: what it must be more than.
        highest: the most that it may be.

    Raises:
        InputError: no number, a truth value, NaN, infinity, or one out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"{name}: got {shown(value)}; give a number")
    number = float(value)
    if not math.isfinite(number):
        raise InputError(f"{name}: got {number}; give a finite number")
    if number <= above:
        raise InputError(f"{name} must be above {above:g}, got {number:g}")
    if number < lowest:
        raise InputError(f"{name} must be at least {lowest:g}, got {number:g}")
    if number > highest:
        raise InputError(f"{name} must be at most {highest:g}, got {number:g}")
    return number


def check_flag(name: str, value: object) -> bool:
    """Return a truth value, NumPy's own included, as a ``bool``.

    Raises:
        InputError: anything else; "no" and "False" would count as true.
    """
    if isinstance(value, bool) or _is_numpy_bool(value):
        return bool(value)
    raise InputError(f"{name}: got {shown(value)}; give True or False")


def check_size(name: str, value: object, lowest: int, highest: int) -> tuple[int, int]:
    """Return (height, width) as two ``int``.

    Raises:
        InputError: not two whole numbers, or one out of range.
    """
    if isinstance(value, Collection) and not isinstance(value, Mapping | Set) and len(value) == 2:
        sides = [_as_int(side) for side in value]
        if all(side is not None and lowest <= side <= highest for side in sides):
            height, width = (int(side) for side in value)
            return height, width
    raise InputError(
        f"{name}: expected (height, width) of {lowest} to {highest} pixels each, got {shown(value)}"
    )


def check_ids(name: str, value: object) -> tuple[int, ...]:
    """Return whole numbers, such as category ids, as ``int``.

    Raises:
        InputError: no several numbers, or one among them that is not whole.
    """
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        given = list(value)
        found = [_as_int(item) for item in given]
        if all(number is not None for number in found):
            return tuple(number for number in found if number is not None)
    raise InputError(
        f"{name}: expected whole numbers, one per class, got {shown(value)}; give a list of them"
    )


def check_list(name: str, value: object, what: str) -> list[Any]:
    """Return several things as a list; ``what`` they are, for the message.

    Raises:
        InputError: one thing alone, a text among them.
    """
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | PathLike):
        return list(value)
    raise InputError(f"{name}: got {shown(value)}; give a list of {what}")


def check_text(name: str, value: object) -> str:
    """Return a text.

    Raises:
        InputError: anything else.
    """
    if not isinstance(value, str):
        raise InputError(f"{name}: got {shown(value)}; give a text")
    return value


def check_kind(name: str, value: _Kind, kind: type | UnionType, what: str) -> _Kind:
    """Return an object of a class; ``what`` it has to be, for the message.

    Raises:
        InputError: it is of another class.
    """
    if not isinstance(value, kind):
        raise InputError(f"{name}: got {shown(value)}; give {what}")
    return value


def shown(value: object) -> str:
    """Return a value as a message shows it: large ones shortened, and those that cannot be shown named."""
    try:
        return _REPR.repr(value)
    except Exception:  # anybody's own __repr__
        return f"an object of {type(value).__name__}"


def _is_numpy_bool(value: object) -> bool:
    # By its name, since the command line starts without NumPy.
    return type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")


def _as_int(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        return None
    return int(value)
