"""Results of many pictures, kept on disk: memory stays the same however many there are."""

from __future__ import annotations

import io
import tempfile
import weakref
from array import array
from collections.abc import Sequence
from typing import overload

import numpy as np

from edgeblend.errors import OutputError
from edgeblend.results import Instances

_ARRAYS = ("boxes", "scores", "classes", "mask_probs", "mask_boxes")


class KeptBytes(Sequence[bytes]):
    """Pieces by position, in a temporary file without a name, which goes with this object."""

    def __init__(self) -> None:
        """Open the file.

        Raises:
            OutputError: the temporary folder cannot be written.
        """
        try:
            self._file = tempfile.TemporaryFile(prefix="edgeblend-")  # noqa: SIM115 - closed below
        except OSError as error:
            raise _unwritten(error) from error
        weakref.finalize(self, self._file.close)
        self._ends = array("q", [0])

    def append(self, piece: bytes) -> None:
        """Keep a piece.

        Raises:
            OutputError: the disk is full.
        """
        try:
            self._file.seek(self._ends[-1])
            self._file.write(piece)
            self._file.flush()
        except OSError as error:
            raise _unwritten(error) from error
        self._ends.append(self._ends[-1] + len(piece))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, position: int) -> bytes: ...

    @overload
    def __getitem__(self, position: slice) -> list[bytes]: ...

    def __getitem__(self, position: int | slice) -> bytes | list[bytes]:
        """Return the piece at a position, or those of a slice."""
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        place = range(len(self))[position]  # raises IndexError, understands negative ones
        try:
            self._file.seek(self._ends[place])
            return self._file.read(self._ends[place + 1] - self._ends[place])
        except OSError as error:
            raise OutputError(f"{tempfile.gettempdir()}: results cannot be read back: {error}") from error


class KeptInstances(Sequence[Instances]):
    """Instances by position, each bit as it was; 13 kB of disk for one with a mask of 56x56.

    Their timings are not kept.
    """

    def __init__(self) -> None:
        """Open the file.

        Raises:
            OutputError: the temporary folder cannot be written.
        """
        self._pieces = KeptBytes()
        self._sizes: list[tuple[int, int]] = []
        self._names: tuple[tuple[str, ...], tuple[int, ...]] | None = None

    def append(self, instances: Instances) -> None:
        """Keep the instances of the next picture; all know the same classes.

        Raises:
            OutputError: the disk is full.
        """
        names = instances.class_names, instances.category_ids
        self._names = self._names or names
        if names != self._names:
            raise ValueError(f"expected instances of the classes {self._names}, got {names}")
        piece = io.BytesIO()
        for name in _ARRAYS:
            np.save(piece, getattr(instances, name), allow_pickle=False)
        self._pieces.append(piece.getvalue())
        self._sizes.append(instances.frame_size)

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, position: int) -> Instances: ...

    @overload
    def __getitem__(self, position: slice) -> list[Instances]: ...

    def __getitem__(self, position: int | slice) -> Instances | list[Instances]:
        """Return the instances of the picture at a position, or those of a slice."""
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        assert self._names is not None or not len(self)
        piece = io.BytesIO(self._pieces[position])
        arrays = {name: np.load(piece, allow_pickle=False) for name in _ARRAYS}
        names, ids = self._names or ((), ())
        return Instances(**arrays, class_names=names, category_ids=ids, frame_size=self._sizes[position])


def _unwritten(error: OSError) -> OutputError:
    return OutputError(
        f"{tempfile.gettempdir()}: results cannot be kept there: {error}; make room, or set TMPDIR to one "
        "that has some"
    )
