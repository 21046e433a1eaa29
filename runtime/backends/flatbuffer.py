"""Reading a FlatBuffer that nobody has checked: whatever its bytes are, an answer or one error.

A table is a position in the file. Two bytes per field in its *vtable* say where in the table the field lies;
tables, vectors and strings lie elsewhere, and the field holds how far on (https://flatbuffers.dev/internals).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct, unpack_from

import numpy as np
from numpy.typing import NDArray

I8, U8, _U16, I32, U32, U64 = map(Struct, ("<b", "<B", "<H", "<i", "<I", "<Q"))
"""Forms of numbers: signed or not, and their bits."""


class FlatbufferError(ValueError):
    """The bytes are no FlatBuffer, or lead out of the file."""


@dataclass(slots=True)
class _File:
    """The bytes, and how much of them may still be read: entries that share a place could go on for ever."""

    data: memoryview
    size: int = field(init=False)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.data)
        self.left = 4 * self.size

    def number(self, form: Struct, position: int) -> int:
        """Return a number at a position."""
        self.take(position, form.size)
        return int(form.unpack_from(self.data, position)[0])

    def take(self, position: int, size: int) -> None:
        """Refuse bytes that are not in the file."""
        self.left -= size
        if position < 0 or position + size > self.size:
            raise FlatbufferError(f"leads to byte {position + size} of {self.size}")
        if self.left < 0:
            raise FlatbufferError("holds the same entries many times over")


class Table:
    """A table: fields by their slot, from 0, in the order of the schema."""

    __slots__ = ("_file", "_offsets", "_position", "_size")

    def __init__(self, file: _File, position: int) -> None:
        self._file, self._position = file, position
        vtable = position - file.number(I32, position)
        length = file.number(_U16, vtable)
        file.take(vtable, length)
        if length < 4:
            raise FlatbufferError(f"has a table without a description at byte {position}")
        self._size, *self._offsets = unpack_from(f"<{length // 2 - 1}H", file.data, vtable + 2)

    def number(self, slot: int, form: Struct, default: int = 0) -> int:
        """Return a number in one of the forms above, or what its absence means."""
        position = self._field(slot, form.size)
        return default if position is None else self._file.number(form, position)

    def table(self, slot: int) -> Table | None:
        """Return a table, or None where there is none."""
        position = self._target(slot)
        return None if position is None else Table(self._file, position)

    def tables(self, slot: int) -> list[Table]:
        """Return a vector of tables, empty where there is none."""
        found = self._vector(slot, 4)
        if found is None:
            return []
        start, length = found
        places = range(start, start + 4 * length, 4)
        return [Table(self._file, place + self._file.number(U32, place)) for place in places]

    def numbers(self, slot: int, dtype: str) -> NDArray[np.generic]:
        """Return a vector of numbers, empty where there is none; a copy."""
        kind = np.dtype(dtype)
        found = self._vector(slot, kind.itemsize)
        if found is None:
            return np.empty(0, kind)
        start, length = found
        return np.frombuffer(self._file.data, kind, length, start).copy()

    def length(self, slot: int, size: int = 1) -> int:
        """Return how many entries of so many bytes a vector or string has, without reading them."""
        found = self._vector(slot, size, read=False)
        return 0 if found is None else found[1]

    def text(self, slot: int) -> str:
        """Return a string, empty where there is none."""
        return self.numbers(slot, "u1").tobytes().decode()

    def _field(self, slot: int, size: int) -> int | None:
        """Return where a field lies; None where the table has none."""
        offset = self._offsets[slot] if slot < len(self._offsets) else 0
        if not offset:
            return None
        if offset + size > self._size:
            raise FlatbufferError(f"has a field that leaves its table at byte {self._position}")
        return self._position + offset

    def _target(self, slot: int) -> int | None:
        position = self._field(slot, 4)
        return None if position is None else position + self._file.number(U32, position)

    def _vector(self, slot: int, size: int, *, read: bool = True) -> tuple[int, int] | None:
        """Return where the entries of a vector start, and how many there are."""
        position = self._target(slot)
        if position is None:
            return None
        length = self._file.number(U32, position)
        if position + 4 + length * size > self._file.size:
            raise FlatbufferError(f"has a vector of {length} entries that leaves the file")
        if read:
            self._file.take(position + 4, length * size)
        return position + 4, length


def root_table(data: memoryview, identifier: bytes) -> Table:
    """Return the table that a file begins with.

    Raises:
        FlatbufferError: it is too short, or not of the kind that the identifier names.
    """
    file = _File(data)
    file.take(0, 8)
    if bytes(data[4:8]) != identifier:
        raise FlatbufferError(f"is no file of the kind {identifier.decode()}")
    return Table(file, file.number(U32, 0))


def all_within(indices: Sequence[int] | NDArray[np.generic], count: int) -> bool:
    """Return whether indices point into a vector of ``count`` entries."""
    return all(0 <= index < count for index in map(int, indices))
