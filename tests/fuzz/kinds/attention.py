"""The attention layer of a bundle: a safetensors file that the runtime reads itself."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from random import Random

import numpy as np

from edgeblend.errors import BundleError
from edgeblend.runtime.attention import attention_shape, load_attention

from ..mutate_bytes import mutate_bytes
from ..mutate_tree import mutate_tree
from ..samples import ATTENTION, attention_file, blend_spec
from .kind import Kind, expect


def mutate_safetensors(data: bytes, random: Random) -> bytes:
    """Mutate a file's header, whose length is set right, or any of its bytes."""
    if random.random() < 0.4:
        return mutate_bytes(data, random)
    length = struct.unpack_from("<Q", data)[0]
    header, body = data[8 : 8 + length], data[8 + length :]
    if random.random() < 0.7:
        header = json.dumps(mutate_tree(json.loads(header), random)).encode()
    else:
        header = mutate_bytes(header, random)
    if random.random() < 0.2:
        body = mutate_bytes(body, random)
    return struct.pack("<Q", len(header)) + header + body


def _write(folder: Path) -> None:
    (folder / ATTENTION).write_bytes(attention_file())


def _make(random: Random, folder: Path) -> None:
    (folder / ATTENTION).write_bytes(mutate_safetensors(attention_file(), random))


def _run(folder: Path) -> None:
    layer = load_attention(folder / ATTENTION, blend_spec())
    expect(layer.weight.dtype == np.float32 and layer.weight.ndim == 2, "weights are not a matrix of float32")
    expect(layer.bias.shape == layer.weight.shape[1:], "there are not as many biases as outputs")
    expect(bool(np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()), "weights are not finite")
    expect(attention_shape(folder / ATTENTION) == layer.weight.shape, "its shape is another one")


KINDS = (Kind("attention", _make, _run, (BundleError,), _write, share=4),)
