"""What a caller hands in to be called: anything that it raises is the caller's, and comes out as it is.

Callbacks run deep inside, often within a quantizer of a third party, whose own errors are wrapped. What a
callback raised is marked, so that whoever wraps errors can tell it from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from edgeblend.arguments.checks import shown
from edgeblend.errors import InputError

_Item = TypeVar("_Item")

Say = Callable[[str], None]
"""Function called with a line of text."""

_MARK = "_edgeblend_raised_by_caller"


def callback(name: str, given: object) -> Say:
    """Return what to call for a callback that a caller gave; None is one that does nothing.

    Raises:
        InputError: it cannot be called.
    """
    if given is None:
        return _silent
    if not callable(given):
        raise InputError(f"{name}: got {shown(given)}; give a function that takes a line of text, or None")

    def call(line: str) -> None:
        with callers_code():
            given(line)

    return call


@contextmanager
def callers_code() -> Iterator[None]:
    """Mark what the block raises as the caller's own."""
    try:
        yield
    except Exception as error:
        with suppress(Exception):  # a class that takes no attributes
            setattr(error, _MARK, True)
        raise


def callers_items(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield items, and mark what comes instead of one as the caller's own."""
    iterator = iter(items)
    while True:
        with callers_code():
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def raised_by_caller(error: BaseException) -> BaseException | None:
    """Return the caller's own error among an error and those that it came from, if there is one."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if getattr(found, _MARK, False):
            return found
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return None


def _silent(line: str) -> None:
    del line
