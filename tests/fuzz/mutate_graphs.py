"""Mutations of graphs by their formats' own schemas: indices, shapes, types, names, attributes.

Bytes that are changed at random mostly hit weights, or a length without which nothing can be read. These
reach what engines do with a graph that they could read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from .mutate_bytes import count_of_mutations, mutate_bytes
from .mutate_values import text_like, value_like

_MOST_SCALARS = 64
"""Of an array whose scalars are places; longer ones are weights."""
_REFERENCES = (
    ".inputs",
    ".outputs",
    ".input",
    ".output",
    ".tensorIndex",
    ".opcodeIndex",
    ".buffer",
    ".shape",
)
"""Fields by which one part of a graph names another: what engines trust most."""
_INDICES = (-1, -2, 0, 1, 127, (1 << 31) - 1, -(1 << 31))
_RANGES = {np.dtype(name): np.iinfo(name) for name in ("int8", "uint8", "int32", "uint32", "int64", "uint64")}


@dataclass(frozen=True, slots=True)
class _Place:
    """A value of a schema's object, list or array."""

    holder: Any
    key: Any
    field: str
    """The schema's name of it, or of the list that it is in."""

    @property
    def value(self) -> Any:  # noqa: ANN401
        return getattr(self.holder, self.key) if isinstance(self.key, str) else self.holder[self.key]

    def put(self, value: Any) -> None:  # noqa: ANN401
        if isinstance(self.key, str):
            setattr(self.holder, self.key, value)
        else:
            self.holder[self.key] = value


def mutate_tflite(data: bytes, random: Random) -> bytes:
    """Return a TFLite file with one to four of its fields changed."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for _ in range(count_of_mutations(random)):
        _change(_choose(_tflite_places(model, ""), random), random)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def mutate_onnx(data: bytes, random: Random) -> bytes:
    """Return an ONNX file with one to four of its fields changed."""
    model = onnx.load_from_string(data)
    for _ in range(count_of_mutations(random)):
        _change(_choose(_onnx_places(model), random), random)
    return bytes(model.SerializeToString(deterministic=True))


def _choose(places: Iterable[_Place], random: Random) -> _Place:
    """Return a place of any field: there are many more dimensions than indices, which matter as much."""
    by_field: dict[str, list[_Place]] = {}
    for place in places:
        by_field.setdefault(place.field, []).append(place)
    weights = [4 if field.endswith(_REFERENCES) else 1 for field in by_field]
    return random.choice(by_field[random.choices(list(by_field), weights)[0]])


def _tflite_places(holder: Any, field: str) -> Iterator[_Place]:  # noqa: ANN401
    """Yield every field below an object, list or array of the schema, in the order of the schema."""
    listed = isinstance(holder, list | np.ndarray)
    for key in range(len(holder)) if listed else vars(holder):
        name = field if listed else f"{type(holder).__name__}.{key}"
        place = _Place(holder, key, name)
        value = place.value
        if value is None:
            continue
        if _is_short(value) and not value.flags.writeable:  # a view of the file
            value = value.copy()
            place.put(value)
        yield place
        if isinstance(value, list) or hasattr(value, "__dict__") or _is_short(value):
            yield from _tflite_places(value, name)


def _is_short(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and len(value) <= _MOST_SCALARS


def _onnx_places(message: Any) -> Iterator[_Place]:  # noqa: ANN401
    """Yield every field that is set below a message, in the order of the schema."""
    for field, value in message.ListFields():
        if field.message_type is None:
            repeated = not isinstance(value, int | float | str | bytes)
            if repeated:
                yield from (_Place(value, index, field.full_name) for index in range(len(value)))
            else:
                yield _Place(message, field.name, field.full_name)
        elif hasattr(value, "add"):
            yield _Place(message, field.name, field.full_name)
            for item in value:
                yield from _onnx_places(item)
        else:
            yield from _onnx_places(value)


def _change(place: _Place, random: Random) -> None:
    """Give a field another value of its type, as far as the schema takes it."""
    value = place.value
    if isinstance(value, bool | np.bool_):
        place.put(not value)
    elif isinstance(value, int | np.integer):
        new = random.choice(_INDICES) if random.random() < 0.4 else value_like(int(value), random)
        place.put(_within(new, value))
    elif isinstance(value, float | np.floating):
        place.put(value_like(float(value), random))
    elif isinstance(value, str):
        place.put(text_like(value, random).encode("utf-8", "replace").decode())
    elif isinstance(value, bytes):
        place.put(mutate_bytes(value, random))
    elif isinstance(value, np.ndarray):
        changed = mutate_bytes(value.tobytes(), random)
        size = value.dtype.itemsize
        place.put(np.frombuffer(changed[: len(changed) - len(changed) % size], value.dtype))
    elif isinstance(value, list) or hasattr(value, "add"):
        _change_list(value, random)


def _change_list(items: Any, random: Random) -> None:  # noqa: ANN401
    """Remove, repeat or empty items of a list."""
    change = random.choice(("remove", "remove", "repeat", "clear"))
    if change == "clear" or not len(items):
        del items[:]
    elif change == "remove":
        del items[random.randrange(len(items))]
    else:
        item = items[random.randrange(len(items))]
        if hasattr(items, "add"):
            items.add().CopyFrom(item)
        else:
            items.append(item)


def _within(number: int, old: Any) -> int:  # noqa: ANN401
    """Return a number as the field can hold it."""
    if isinstance(old, np.integer):
        limits = _RANGES.get(old.dtype, np.iinfo("int8"))
        return min(max(number, int(limits.min)), int(limits.max))
    low, high = -(1 << 31), (1 << 31) - 1
    return min(max(number, low), high)
