"""The calibration set: few frames of many, unlike each other, the same ones for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from operator import length_hint
from types import TracebackType
from typing import Literal, Self, get_args

import numpy as np

from edgeblend.arguments.callbacks import callers_items
from edgeblend.arguments.checks import MOST, check_flag, check_whole
from edgeblend.arguments.choices import check_choice
from edgeblend.calibration.data.frames import (
    Frame,
    Frames,
    FrameSource,
    PassingFrames,
    Unreadable,
    notes_of,
    open_frames,
)
from edgeblend.calibration.measuring.spool import Spool
from edgeblend.calibration.sampling.candidates import Candidate, Candidates
from edgeblend.calibration.sampling.descriptor import describe
from edgeblend.errors import InputError

NearDuplicates = Literal["drop", "keep"]

DEFAULT_COUNT = 300
FEW = 100
"""A set with fewer frames says so in its notes."""

UNREADABLE_KEPT = 20
"""How many unreadable pictures a set names; it counts them all."""

_SHOWN = 3  # of them in a message


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSet:
    """Frames to calibrate with; go through it as often as you like.

    Only what frames are called is kept: every pass decodes them anew, one at a time, and compares them with
    those that were chosen.
    """

    description: str
    """Source of the frames, such as "the 812 pictures of pictures/"."""
    seed: int
    seen: int
    """Number of frames looked at, without unreadable ones."""
    near_duplicates: int
    """Number of these left out because they look like a frame that was a candidate then."""
    unreadable: tuple[Unreadable, ...]
    """The first ``UNREADABLE_KEPT`` of them."""
    unreadable_count: int
    notes: tuple[str, ...]
    """Notes on the set, one sentence each."""
    _source: FrameSource = field(repr=False)
    _chosen: tuple[Candidate, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames by ascending index.

        Raises:
            InputError: one is no longer there or no longer what it was, or the set was closed.
        """
        indices = [candidate.index for candidate in self._chosen]
        for candidate, frame in zip_longest(self._chosen, callers_items(self._source.read(indices))):
            yield _checked(candidate, frame, self.description)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the frames."""
        return tuple(candidate.name for candidate in self._chosen)

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the frames' own, in order: it depends on nothing but their pixels and sizes."""
        return hashlib.sha256(b"".join(candidate.digest for candidate in self._chosen)).hexdigest()

    def close(self) -> None:
        """Delete the copies of frames that passed by once; sets of files, videos and lists have none."""
        if isinstance(self._source, Spool):
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sample_frames(
    source: Frames,
    *,
    count: int = DEFAULT_COUNT,
    seed: int = 0,
    near_duplicates: NearDuplicates = "drop",
    every: int | None = None,
    progress: bool = False,
) -> CalibrationSet:
    """Choose frames that are unlike each other, in one pass that holds one picture at a time.

    A frame that looks like one kept before is dropped (:mod:`~edgeblend.calibration.sampling.descriptor` says
    what is compared). Of the others those are taken that spread widest
    (:mod:`~edgeblend.calibration.sampling.candidates`), or all, where there are no more than ``count``. A
    video thus gives frames of all its scenes. The same frames and seed make the same set.

    Frames of generators are copied to a temporary folder, losslessly, at most twice ``count`` at a time. The
    copies are deleted with the set, or by :meth:`CalibrationSet.close`.

    Args:
        source: anything :func:`edgeblend.calibration.data.frames.open_frames` takes.
        count: how many frames to choose.
        seed: decides which frame is taken first, and so which after it.
        near_duplicates: ``keep`` chooses among all frames.
        every: look only at every n-th frame.
        progress: show a bar on standard error.

    Raises:
        InputError: an option's value is not valid, nothing is found, no picture can be read, or an iterable
            yields something else than pictures.
        OutputError: there is no room for the copies of a generator's frames.
    """
    check_sampling_options(count=count, seed=seed, every=every)
    check_choice("near_duplicates", near_duplicates, get_args(NearDuplicates))
    check_flag("progress", progress)
    opened = open_frames(source, every=every)
    with ExitStack() as on_failure:
        spool = None
        if isinstance(opened, PassingFrames):
            spool = Spool(opened.description)
            on_failure.callback(spool.close)
        sampling = _Sampling(count, seed, near_duplicates, spool)
        for frame in _with_bar(opened, progress):
            sampling.take(frame)
        made = sampling.finish(opened)
        on_failure.pop_all()
    return made


class _Sampling:
    """The state of the pass over a source."""

    def __init__(self, count: int, seed: int, near_duplicates: NearDuplicates, spool: Spool | None) -> None:
        self._count, self._seed, self._spool = count, seed, spool
        drop = near_duplicates == "drop"
        self._candidates = Candidates(count, np.random.default_rng(seed), drop_near_duplicates=drop)
        self._seen = self._near_duplicates = self._unreadable_count = 0
        self._unreadable: list[Unreadable] = []

    def take(self, frame: Frame | Unreadable) -> None:
        """Look at one frame."""
        if isinstance(frame, Unreadable):
            self._unreadable_count += 1
            if len(self._unreadable) < UNREADABLE_KEPT:
                self._unreadable.append(frame)
            return
        self._seen += 1
        descriptor = describe(frame.picture)
        verdict = self._candidates.judge(descriptor)
        self._near_duplicates += verdict == "near-duplicate"
        if verdict == "new":
            self._candidates.add(Candidate(frame.index, frame.name, frame.digest()), descriptor)
            if self._spool is not None:
                self._spool.put(frame)
                self._spool.keep(self._candidates.indices)

    def finish(self, source: FrameSource) -> CalibrationSet:
        """Choose among what was seen."""
        if not self._seen:
            raise InputError(f"{source.description}: {self._nothing_to_choose()}")
        chosen = tuple(self._candidates.choose())
        if self._spool is not None:
            self._spool.keep({candidate.index for candidate in chosen})
        return CalibrationSet(
            description=source.description,
            seed=self._seed,
            seen=self._seen,
            near_duplicates=self._near_duplicates,
            unreadable=tuple(self._unreadable),
            unreadable_count=self._unreadable_count,
            notes=(*notes_of(source), *self._notes(len(chosen))),
            _source=self._spool or source,
            _chosen=chosen,
        )

    def _nothing_to_choose(self) -> str:
        if self._unreadable_count:
            return f"none of {self._unreadable_count} frames can be read: {self._unreadable_listed()}"
        return "expected at least one frame, got none"

    def _notes(self, chosen: int) -> Iterator[str]:
        if chosen < FEW:
            yield (
                f"{chosen} {'frame is' if chosen == 1 else 'frames are'} few to calibrate with; "
                f"{FEW} to {DEFAULT_COUNT} that look like what the camera will see make a safer set"
            )
        if chosen < self._count:
            differ = " that differ enough" if self._near_duplicates else ""
            yield f"{self._count} frames were asked for, but there are only {chosen}{differ}"
        if self._near_duplicates:
            yield f"{self._near_duplicates} of {self._seen} frames look like others and were left out"
        if bad := self._unreadable_count:
            yield (
                f"{bad} of {self._seen + bad} frames cannot be read and were left out: "
                f"{self._unreadable_listed()}"
            )

    def _unreadable_listed(self) -> str:
        named = ", ".join(f"{bad.name} ({bad.reason})" for bad in self._unreadable[:_SHOWN])
        more = self._unreadable_count - _SHOWN
        return named + (f" and {more} more" if more > 0 else "")


def check_sampling_options(*, count: object = DEFAULT_COUNT, seed: object = 0, every: object = None) -> None:
    """Refuse options that no sampling takes, with an InputError."""
    if (wanted := check_whole("count", count, -MOST, MOST)) < 1:
        raise InputError(f"count: expected to choose at least 1 frame, got {wanted}")
    check_whole("seed", seed, 0, MOST)
    if every is not None:
        check_whole("every", every, 1, MOST)


def _with_bar(source: FrameSource, progress: bool) -> Iterable[Frame | Unreadable]:
    from tqdm import tqdm

    return tqdm(source.read(), total=length_hint(source) or None, unit="frame", disable=not progress)


def _checked(candidate: Candidate | None, frame: Frame | Unreadable | None, description: str) -> Frame:
    """Return the frame that was read, if it is the one that was chosen."""
    if candidate is None:
        raise InputError(f"{description}: expected only the chosen frames, got more")
    if isinstance(frame, Unreadable):
        now = f"cannot be read now: {frame.reason}"
    elif frame is None or frame.index != candidate.index:
        now = "is no longer there"
    elif frame.digest() != candidate.digest:
        now = "is another picture now"
    else:
        return frame
    raise InputError(
        f"{candidate.name} of {description} was chosen for calibration, but {now}; choose the frames again"
    )
