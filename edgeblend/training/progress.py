"""How far a training run has come, as ``last.pt`` holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edgeblend.errors import CheckpointError

_Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs to go on."""

    fingerprint: dict[str, str]
    """Settings and data that a resumed run must share with this one."""
    learner: dict[str, Any]
    """What :meth:`~edgeblend.training.learner.Learner.load` takes."""
    epoch: _Count
    """Number of whole epochs done."""
    kept_epoch: _Count
    """Epoch that the kept model is from."""
    accuracy: dict[str, Any] | None
    """Accuracy of the kept model; None where none was measured."""
    log: list[dict[str, int | _Finite | dict[str, _Finite]]]
    """One record per epoch."""


def write_progress(progress: Progress) -> dict[str, Any]:
    """Return it as a dict, which :func:`read_progress` takes."""
    return msgspec.structs.asdict(progress)


def read_progress(content: Mapping[str, Any]) -> Progress:
    """Return what a file holds.

    Raises:
        msgspec.ValidationError: it holds something else.
    """
    return msgspec.convert(content, Progress)


@contextmanager
def progress_errors(path: Path) -> Iterator[None]:
    """Turn what going on from a state of something else raises into a CheckpointError."""
    try:
        yield
    except (msgspec.ValidationError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: is not the state of this training run ({type(error).__name__}: {error}); start the "
            "training anew"
        ) from error
