"""Whether a TFLite file holds a graph that an interpreter can open.

Interpreters look through a file's structure, but follow its indices as they stand: one that points at no
tensor, or at one that nothing computes, ends the process. This module says so before. Slots and numbers are
those of TFLite's schema, version 3.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeblend.runtime.backends.flatbuffer import (
    I8,
    I32,
    U8,
    U32,
    U64,
    FlatbufferError,
    Table,
    all_within,
    root_table,
)

_IDENTIFIER = b"TFL3"
_CUSTOM = 32
_RESHAPE = 22
_OPTIONS = {
    **{0: 11, 1: 5, 2: 10, 3: 1, 4: 2, 5: 94, 9: 8, 11: 12, 12: 5, 13: 13, 15: 4, 16: 14, 17: 5, 18: 21},
    **{22: 17, 23: 15, 24: 7, 25: 9, 26: 19, 27: 6, 29: 3, 30: 18, 31: 16, 33: 20, 35: 31, 36: 23, 40: 27},
    **{41: 28, 42: 29, 43: 30, 44: 71, 45: 32, 46: 70, 49: 35, 52: 69, 53: 37, 56: 40, 67: 49, 68: 50},
    **{74: 27, 77: 55, 79: 57, 80: 58, 81: 27, 82: 27, 83: 59, 85: 61, 88: 64, 89: 27, 91: 27, 97: 74},
    **{98: 75, 100: 77, 102: 79, 103: 80, 112: 87, 118: 92, 119: 93, 126: 101, 128: 102, 129: 103, 132: 106},
    **{136: 107, 140: 27, 141: 106, 142: 111, 147: 115, 150: 116},
}
"""Operator to the kind of its options, where they hold anything: others would be read as zeros."""
_FEWEST_INPUTS = {3: 3, 4: 3, 9: 2, 67: 3, 0: 2, 18: 2, 23: 2, 97: 2}
"""Of convolutions, matrix products, sums, products and enlarging; their kernels read as many unasked."""
_OPTIONAL = {9: (2,), 67: (3,)}
"""Operator to those inputs that may be left out (index -1): the bias."""

_BYTES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 8: 8, 9: 1, 10: 8, 15: 4, 16: 2}
"""Type of a tensor to the bytes of each value, where all have the same."""
_LARGEST = 1 << 31
"""Bytes of a tensor; far more than any that these networks have."""
_GROWTH = 64
"""Values of a tensor to those that the graph takes: at most 8 in these networks. An interpreter allocates
what a tensor's own shape says, whatever its operator will make of it."""
_SMALL = 1 << 20
"""Values that any tensor may have."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    values: int
    constant: bool
    variable: bool


def check_graph(model: Path | bytes) -> None:
    """Look through a TFLite file.

    Args:
        model: the file, which is mapped into memory, or its content.

    Raises:
        FlatbufferError: an interpreter could not open it, or would follow an index that leads nowhere.
        OSError: the file cannot be read.
    """
    with _content(model) as data:
        root = root_table(data, _IDENTIFIER)
        subgraphs = root.tables(2)
        if len(subgraphs) != 1:
            raise FlatbufferError(f"has {len(subgraphs)} graphs, not one")
        (graph,) = subgraphs
        buffers = [_size(buffer, len(data)) for buffer in root.tables(4)]
        tensors = [_tensor(table, index, buffers) for index, table in enumerate(graph.tables(0))]
        _check_order(graph, tensors, [_kind(code) for code in root.tables(1)])
        for signature in root.tables(7):
            for entry in (*signature.tables(0), *signature.tables(1)):
                if entry.number(1, U32) >= len(tensors):
                    raise FlatbufferError("has a signature of tensors that are not there")


@contextmanager
def _content(model: Path | bytes) -> Iterator[memoryview]:
    if isinstance(model, bytes):
        yield memoryview(model)
        return
    with model.open("rb") as file:
        if not file.seek(0, 2):
            raise FlatbufferError("is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            yield data


def _size(buffer: Table, length: int) -> int:
    """Return the bytes of a buffer, which in large files lies behind the tables."""
    offset, size = buffer.number(1, U64), buffer.number(2, U64)
    if offset > 1:
        if offset + size > length:
            raise FlatbufferError("has a buffer that leaves the file")
        return size
    return buffer.length(0)


def _kind(code: Table) -> int:
    """Return which operator a code stands for: files before 2020 have it in one byte."""
    return max(code.number(0, I8), code.number(3, I32))


def _tensor(table: Table, index: int, buffers: Sequence[int]) -> _Tensor:
    what, number = f"has a tensor {index}", table.number(2, U32)
    shape = _indices(table, 0)
    if number >= len(buffers):
        raise FlatbufferError(f"{what} in buffer {number} of {len(buffers)}")
    width = _BYTES.get(table.number(1, I8), 1)
    size = width
    for side in shape:
        size *= side
        if side < 0 or size > _LARGEST:
            raise FlatbufferError(f"{what} of the shape {shape}")
    stored = buffers[number]
    if stored and table.number(1, I8) in _BYTES and table.table(6) is None and stored != size:
        raise FlatbufferError(f"{what} of {size} bytes in a buffer of {stored}")
    table.text(3)
    _check_quantization(table, shape, what)
    return _Tensor(values=size // width, constant=stored > 0, variable=bool(table.number(5, I8)))


def _check_quantization(table: Table, shape: Sequence[int], what: str) -> None:
    quantization = table.table(4)
    if quantization is None:
        return
    scales, zero_points = quantization.numbers(2, "<f4").tolist(), quantization.numbers(3, "<i8")
    if not all(0 < scale < math.inf for scale in scales):
        raise FlatbufferError(f"{what} with a scale that is no positive number")
    axis = quantization.number(6, I32)
    if len(scales) > 1 and (not 0 <= axis < len(shape) or len(scales) != shape[axis]):
        raise FlatbufferError(f"{what} with {len(scales)} scales for the shape {list(shape)}")
    if len(zero_points) not in (0, len(scales)):
        raise FlatbufferError(f"{what} with {len(scales)} scales and {len(zero_points)} zero points")


def _check_order(graph: Table, tensors: Sequence[_Tensor], kinds: Sequence[int]) -> None:
    """Follow the operators in their order: each takes what is there, and gives what is not."""
    inputs, outputs = _indices(graph, 1), _indices(graph, 2)
    if not all_within((*inputs, *outputs), len(tensors)) or len(set(inputs)) != len(inputs):
        raise FlatbufferError(f"takes the tensors {inputs} and gives {outputs}, of {len(tensors)}")
    if any(tensors[index].constant for index in inputs):
        raise FlatbufferError("takes a tensor that is a constant")
    _check_growth(tensors, sum(tensors[index].values for index in inputs))
    there = {index for index, tensor in enumerate(tensors) if tensor.constant or tensor.variable}
    there.update(inputs)
    for position, operator in enumerate(graph.tables(3)):
        what = f"has an operator {position}"
        code = operator.number(0, U32)
        if code >= len(kinds):
            raise FlatbufferError(f"{what} of kind {code} of {len(kinds)}")
        _check_options(operator, kinds[code], what)
        taken, given = _indices(operator, 1), _indices(operator, 2)
        _check_inputs(taken, kinds[code], there, what)
        if not all_within(given, len(tensors)) or there & set(given) or len(set(given)) != len(given):
            raise FlatbufferError(f"{what} that gives the tensors {given}, which are there or are none")
        there.update(given)
    if missing := set(outputs) - there:
        raise FlatbufferError(f"gives the tensors {sorted(missing)}, which nothing computes")


def _check_growth(tensors: Sequence[_Tensor], taken: int) -> None:
    for index, tensor in enumerate(tensors):
        if not tensor.constant and tensor.values > max(_GROWTH * taken, _SMALL):
            raise FlatbufferError(
                f"has a tensor {index} of {tensor.values} values, where it takes {taken} in all"
            )


def _check_inputs(taken: Sequence[int], kind: int, there: set[int], what: str) -> None:
    optional = _OPTIONAL.get(kind, ())
    missing = [
        index
        for place, index in enumerate(taken)
        if index not in there and (index != -1 or place not in optional)
    ]
    if missing:
        raise FlatbufferError(f"{what} that takes the tensors {missing}, which are not there before it")
    if len(taken) < _FEWEST_INPUTS.get(kind, 0):
        raise FlatbufferError(f"{what} that takes {len(taken)} tensors, not {_FEWEST_INPUTS[kind]}")


def _check_options(operator: Table, kind: int, what: str) -> None:
    found, wanted = operator.number(3, U8), _OPTIONS.get(kind)
    if kind == _RESHAPE and not found:
        return  # the shape is an input
    if wanted is not None and (found != wanted or operator.table(4) is None):
        raise FlatbufferError(f"{what} of kind {kind} with options of kind {found}")


def _indices(table: Table, slot: int) -> list[int]:
    indices: list[int] = table.numbers(slot, "<i4").tolist()
    return indices
