"""Good inputs: the files in ``samples/``, and manifests around them as the code writes them today."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec
import numpy as np
from bundle_factory import make_manifest, make_quantization
from numpy.typing import NDArray

from edgeblend.manifest import MANIFEST_NAME, AttentionSpec, FileSpec, GraphSpec, Part, encode_manifest
from edgeblend.spec import BlendSpec

FOLDER = Path(__file__).parent / "samples"
BUNDLES = ("openvino", "onnx", "tflite", "openvino-int8", "onnx-int8", "tflite-int8")
CANVAS = (64, 96)
CHANNELS = 4
ATTENTION_SIZE = 4
ATTENTION = "attention.safetensors"

_TARGETS = {"onnx": "onnxruntime"}
"""What a bundle's engine is called, where it is not called like its format."""
_BASES = 4


@cache
def files(folder: str) -> dict[str, bytes]:
    """Return the samples of a folder, such as ``images``, by name."""
    return {path.name: path.read_bytes() for path in sorted((FOLDER / folder).iterdir())}


@cache
def bundle_files(name: str) -> dict[str, bytes]:
    """Return all files of a bundle that runs, without its manifest."""
    graphs = {name: data for name, data in files(f"bundles/{name}").items() if name != "graphs.json"}
    return {**graphs, ATTENTION: attention_file()}


def manifest_of(name: str, contents: dict[str, bytes]) -> dict[str, Any]:
    """Return a bundle's manifest as JSON, which describes the files as they are handed in."""
    return json.loads(
        _manifest(name, tuple((file, _described(file, data)) for file, data in contents.items()))
    )


def write_bundle(folder: Path, contents: dict[str, bytes], manifest: bytes) -> None:
    """Write a bundle's files into a folder that is there."""
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / MANIFEST_NAME).write_bytes(manifest)


def frame() -> NDArray[np.uint8]:
    """Return the (64, 96, 3) picture that bundles are run on; they find something in it."""
    coarse = np.frombuffer(Random("frame").randbytes(4 * 6 * 3), np.uint8).reshape(4, 6, 3)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8))


def attention_file() -> bytes:
    """Return the attention layer that all samples share, as safetensors."""
    random = Random("attention")
    outputs = _BASES * ATTENTION_SIZE**2
    weight = [random.uniform(-0.4, 0.4) for _ in range(9 * CHANNELS * outputs)]
    return safetensors_file(
        {"weight": ((9 * CHANNELS, outputs), weight), "bias": ((outputs,), [0.0] * outputs)}
    )


def blend_spec() -> BlendSpec:
    """Return what all samples' manifests say of their masks, and so of the attention layer."""
    described = manifest_of("openvino", bundle_files("openvino"))["blend"]
    return msgspec.convert(described, BlendSpec)


def safetensors_file(tensors: dict[str, tuple[tuple[int, ...], list[float]]]) -> bytes:
    """Return float32 tensors in the format's own layout: the header's length, the header, the values."""
    header, body = {}, b""
    for name, (shape, values) in tensors.items():
        data = struct.pack(f"<{len(values)}f", *values)
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


@cache
def _described(name: str, data: bytes) -> FileSpec:
    return FileSpec(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


@cache
def _manifest(name: str, described: tuple[tuple[str, FileSpec], ...]) -> bytes:
    specs = dict(described)
    graphs: dict[Part, GraphSpec] = {}
    for part, graph in json.loads(files(f"bundles/{name}")["graphs.json"]).items():
        assert part in get_args(Part)
        listed = [msgspec.to_builtins(specs[file]) for file in graph["files"]]
        graphs[part] = msgspec.convert({**graph, "files": listed}, GraphSpec)
    manifest = make_manifest(graphs, AttentionSpec(mode="sparse", file=specs[ATTENTION]))
    kind = name.partition("-")[0]
    small = msgspec.structs.replace(manifest.blend, attention_size=ATTENTION_SIZE, mask_size=8)
    size = msgspec.structs.replace(
        manifest.input, height=CANVAS[0], width=CANVAS[1], min_size=CANVAS[0], max_size=CANVAS[1]
    )
    changes: dict[str, Any] = {"input": size, "blend": small, "target": _TARGETS.get(kind, kind)}
    if name.endswith("int8"):
        changes["quantization"] = make_quantization()
    return encode_manifest(msgspec.structs.replace(manifest, **changes))
