"""Mutations that know nothing of a format: what damage, and a careless tool, do to bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

_NUMBERS = (
    *(0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535),
    *(65536, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
"""Limits of integer types, and small numbers that could be counts, indices or enumerations."""


def mutate_bytes(data: bytes, random: Random, *, others: Sequence[bytes] = ()) -> bytes:
    """Return ``data`` after one to four mutations.

    Args:
        data: what to change; may be empty.
        random: decides everything.
        others: more inputs of the kind, to take pieces from.
    """
    changed = bytearray(data)
    for _ in range(count_of_mutations(random)):
        operation = random.choices(_OPERATIONS, _WEIGHTS)[0]
        operation(changed, random, others)
    return bytes(changed)


def count_of_mutations(random: Random) -> int:
    """Return 1 to 4, mostly 1: a single change reaches deepest."""
    return random.choices((1, 2, 3, 4), (60, 22, 12, 6))[0]


def number(data: bytearray, random: Random, others: Sequence[bytes] = ()) -> None:
    """Write an integer of 1 to 8 bytes over what is there, mostly at a multiple of its size."""
    size = random.choice((1, 2, 4, 4, 4, 8))
    if len(data) < size:
        return
    value = random.choice(_NUMBERS) if random.random() < 0.8 else random.getrandbits(8 * size)
    start = random.randrange(len(data) - size + 1)
    if random.random() < 0.7:
        start -= start % size
    order = random.choice(("little", "little", "big"))
    data[start : start + size] = (value % (1 << 8 * size)).to_bytes(size, order)


def _flip_bits(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    for _ in range(random.choice((1, 1, 1, 2, 8)) if data else 0):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _add_to_byte(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    if data:
        place = random.randrange(len(data))
        data[place] = (data[place] + random.choice((1, -1, 2, -2, 16, -16))) % 256


def _set_byte(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _cut_end(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    # Half of the cuts take little: a file that lacks its last bytes is the most common damage.
    few = random.random() < 0.5
    del data[max(len(data) - random.randint(1, 16), 0) if few else random.randrange(len(data) + 1) :]


def _remove_block(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    start, end = _block(data, random)
    del data[start:end]


def _duplicate_block(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    start, end = _block(data, random)
    place = random.choice((end, random.randrange(len(data) + 1)))
    data[place:place] = data[start:end]


def _overwrite_block(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    start, end = _block(data, random)
    fill = random.choice((b"\0", b"\xff", b"A", None))
    data[start:end] = random.randbytes(end - start) if fill is None else fill * (end - start)


def _insert(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    place = random.randrange(len(data) + 1)
    data[place:place] = random.choice((b"\0", b"\xff", random.randbytes(4))) * random.choice((1, 1, 4, 64))


def _swap_blocks(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    first, second = sorted((_block(data, random), _block(data, random)))
    if first[1] <= second[0]:
        parts = data[: first[0]], data[slice(*first)], data[first[1] : second[0]], data[slice(*second)]
        data[:] = parts[0] + parts[3] + parts[2] + parts[1] + data[second[1] :]


def _splice(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    """Go on, from some place, as another input does."""
    other = random.choice(others or (bytes(data),))
    data[random.randrange(len(data) + 1) :] = other[random.randrange(len(other) + 1) :]


def _concatenate(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    data += random.choice(others or (bytes(data),)) if random.random() < 0.5 else bytes(data)


def _block(data: bytearray, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    longest = random.choice((1, 4, 16, 64, 512, len(data)))
    return start, min(start + random.randint(0, longest), len(data))


_Operation = Callable[[bytearray, Random, Sequence[bytes]], None]

_WEIGHTED: tuple[tuple[_Operation, int], ...] = (
    (number, 30),
    (_flip_bits, 20),
    (_set_byte, 8),
    (_add_to_byte, 8),
    (_cut_end, 8),
    (_overwrite_block, 6),
    (_remove_block, 5),
    (_duplicate_block, 4),
    (_insert, 4),
    (_swap_blocks, 3),
    (_splice, 3),
    (_concatenate, 1),
)
_OPERATIONS = tuple(operation for operation, _ in _WEIGHTED)
_WEIGHTS = tuple(weight for _, weight in _WEIGHTED)
