"""One check for arguments that take one of a few words."""

from __future__ import annotations

from collections.abc import Iterable

from edgeblend.errors import InputError


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is none of the words that an argument takes.

    Args:
        name: the argument, as the caller writes it.
        value: what was given.
        choices: every word that it takes; ``typing.get_args`` of a ``Literal`` gives them.

    Raises:
        InputError: the value is another word, or no word at all.
    """
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{name}: unknown value {value!r}; choose one of {', '.join(known)}")
