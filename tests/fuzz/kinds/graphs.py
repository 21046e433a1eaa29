"""Damaged graphs of each format, under a manifest that is right about their bytes; run for one frame."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import msgspec

from edgeblend.errors import BundleError, EngineError, InputError

from ..mutate_bytes import mutate_bytes
from ..mutate_graphs import mutate_onnx, mutate_tflite
from ..mutate_values import text_like, value_like
from ..samples import ATTENTION, BUNDLES, bundle_files, manifest_of, write_bundle
from .kind import Kind
from .manifests import run_bundle

_ATTRIBUTE = re.compile(rb'="([^"]*)"|<dim>(\d+)</dim>')
_SHARES = {
    "openvino": 0.6,
    "openvino-int8": 0.4,
    "onnx": 2.0,
    "onnx-int8": 1.5,
    "tflite": 4.0,
    "tflite-int8": 3.0,
}
"""OpenVINO takes 0.1 s for a case, ONNX Runtime a fifth of that, TFLite a tenth."""


def _write(name: str, folder: Path) -> None:
    contents = bundle_files(name)
    write_bundle(folder, contents, msgspec.json.encode(manifest_of(name, contents)))


def _make(name: str, random: Random, folder: Path) -> None:
    contents = dict(bundle_files(name))
    graphs = [file for file in contents if file != ATTENTION]
    # A graph's text is larger than its weights, and matters more.
    file = random.choices(graphs, [1 if graph.endswith(".bin") else 5 for graph in graphs])[0]
    by_schema = _BY_SCHEMA.get(file.rpartition(".")[2])
    others = [contents[other] for other in graphs]
    contents[file] = _mutated(contents[file], random, by_schema if random.random() < 0.7 else None, others)
    write_bundle(folder, contents, msgspec.json.encode(manifest_of(name, contents)))


def _mutated(
    data: bytes, random: Random, by_schema: Callable[[bytes, Random], bytes] | None, others: list[bytes]
) -> bytes:
    """Return a graph mutated as its schema allows, or, where that cannot be written, as bytes."""
    if by_schema is not None:
        try:
            return by_schema(data, random)
        except (ValueError, TypeError, struct.error, OverflowError, AttributeError):
            pass
    return mutate_bytes(data, random, others=others)


def mutate_attributes(xml: bytes, random: Random) -> bytes:
    """Give one or two attributes or dimensions of an XML file other values."""
    for _ in range(random.choice((1, 1, 2))):
        found = random.choice(list(_ATTRIBUTE.finditer(xml)))
        group = 1 if found[1] is not None else 2
        start, end = found.span(group)
        xml = xml[:start] + _other(found[group].decode(), random) + xml[end:]
    return xml


def _other(value: str, random: Random) -> bytes:
    """Return another value of an attribute: a number of it changed, or the whole."""
    numbers = list(re.finditer(r"-?\d+", value))
    if numbers and random.random() < 0.8:
        number = random.choice(numbers)
        new = str(value_like(int(number[0]), random))
        return (value[: number.start()] + new + value[number.end() :]).encode()
    text = text_like(value, random).encode("utf-8", "replace")
    return re.sub(rb'[&<>"\0]', b"", text)


_BY_SCHEMA: dict[str, Callable[[bytes, Random], bytes]] = {
    "xml": mutate_attributes,
    "onnx": mutate_onnx,
    "tflite": mutate_tflite,
}
"""By the files' suffixes."""

_ALLOWED = (BundleError, EngineError, InputError)
KINDS = tuple(
    Kind(
        f"graph-{name}",
        partial(_make, name),
        run_bundle,
        _ALLOWED,
        partial(_write, name),
        share=_SHARES[name],
    )
    for name in BUNDLES
)
