"""How exporters and quantizers of third parties are called: in turn, and with our errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

from edgeblend import errors
from edgeblend.arguments.callbacks import raised_by_caller
from edgeblend.converters.process_state import kept_through_import, logging_at, some_home
from edgeblend.errors import ConversionError, EdgeBlendError, EngineError
from edgeblend.processes.one_at_a_time import one_at_a_time

_LOUD_WHEN_IMPORTED = ("torchao", "torch.utils._pytree")
"""Loggers that warn of CUDA libraries they do not find, and of each other's deprecations."""


def one_line(error: BaseException) -> str:
    """Return what an error says in one line, or its class where it says nothing."""
    return errors.one_line(error) or type(error).__name__


@contextmanager
def third_party(what: str, reason: Callable[[Exception], str] = one_line) -> Iterator[None]:
    """Enter to call an exporter or a quantizer, which is for one thread at a time.

    Args:
        what: whatever it raises is told as; such as ``NNCF cannot quantize the graph``.
        reason: says in one line why.

    Raises:
        ConversionError: it raised something that is not ours.
    """
    with one_at_a_time(), as_conversion_error(what, reason):
        yield


@contextmanager
def as_conversion_error(what: str, reason: Callable[[Exception], str] = one_line) -> Iterator[None]:
    """Raise as ConversionError what the block raises and is not ours.

    Ctrl-C, lack of memory and what a callback of the caller raised stay as they are.
    """
    try:
        yield
    except (EdgeBlendError, MemoryError):
        raise
    except Exception as error:  # third parties' own have no class in common
        if own := raised_by_caller(error):
            raise own from own.__cause__
        raise ConversionError(f"{what}: {reason(error)}") from error


def import_one_at_a_time(name: str) -> ModuleType:
    """Import a module of ours that imports an exporter or a quantizer.

    Raises:
        ModuleNotFoundError: what it needs is not installed.
        EngineError: what it needs fails while it is imported.
    """
    with _importing():
        try:
            return import_module(name)
        except (ModuleNotFoundError, EdgeBlendError, MemoryError):
            raise
        except Exception as error:  # an import can raise anything
            what = f"{type(error).__name__}: {one_line(error)}"
            raise EngineError(f"what {name} needs cannot be imported: {what}") from error


def load_registered(entry: EntryPoint, kind: str, interface: type) -> Any:  # noqa: ANN401
    """Import what another package has registered.

    Args:
        entry: where it is.
        kind: what it is, such as ``target``; the message starts with it.
        interface: the protocol that it has to offer.

    Raises:
        EngineError: it cannot be imported, or does not offer everything.
    """
    with _importing():
        try:
            found = entry.load()
        except (EdgeBlendError, MemoryError):
            raise
        except Exception as error:  # an import can raise anything
            what = f"{type(error).__name__}: {one_line(error)}"
            raise EngineError(
                f"{kind} {entry.name!r} ({entry.value}): cannot be imported: {what}; mend or remove the "
                "package that registers it"
            ) from error
    needed = {name for name in (*vars(interface), *interface.__annotations__) if not name.startswith("_")}
    if missing := sorted(name for name in needed if not hasattr(found, name)):
        raise EngineError(
            f"{kind} {entry.name!r} ({entry.value}): has no {', '.join(missing)}; install a version of its "
            "package that fits this edgeblend"
        )
    return found


@contextmanager
def _importing() -> Iterator[None]:
    """Enter to import an exporter or a quantizer: in turn, and with everything as it was afterwards."""
    with (
        one_at_a_time(),
        kept_through_import(),
        some_home(),
        logging_at(logging.ERROR, *_LOUD_WHEN_IMPORTED),
    ):
        yield
