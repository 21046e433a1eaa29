"""A bundle that is quantized in a second: real graphs of a few layers, with made-up weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import openvino as ov
import openvino.opset15 as ops
import safetensors.numpy
from bundle_factory import HEAD_ROLES, make_manifest, tensor
from numpy.typing import NDArray

from edgeblend.bundle import Bundle, describe_file, stage_bundle
from edgeblend.manifest import MANIFEST_NAME, AttentionSpec, GraphSpec, Part, encode_manifest

CANVAS = (64, 96)
CHANNELS = 8
DETECTOR_LAYERS = (
    "backbone.stem",
    "backbone.body",
    "backbone.output3",
    "head.tower",
    "head.cls_logits",
    "head.bbox_pred",
    "head.ctrness",
)
BASIS_LAYERS = ("basis_module.tower.0", "basis_module.tower.1", "basis_module.tower.2")


class GraphBuilder:
    """Adds layers with random weights, called as a conversion calls them."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def constant(self, *shape: int, scale: float = 1.0) -> ov.Node:
        return ops.constant(self._random.normal(size=shape).astype(np.float32) * np.float32(scale))

    def convolution(
        self, name: str, x: ov.Node, channels: int, *, size: int = 3, stride: int = 1, bias: float = 0.0
    ) -> ov.Node:
        """A convolution from as many channels as ``x`` has, and its bias."""
        inputs = x.output(0).get_partial_shape()[1].get_length()
        weight = self.constant(channels, inputs, size, size, scale=1.4 / np.sqrt(inputs * size * size))
        pads = [size // 2, size // 2]
        node = ops.convolution(x, weight, [stride, stride], pads, pads, [1, 1])
        node.set_friendly_name(f"__module.network.{name}/aten::_convolution/Convolution")
        shift = self._random.normal(size=(1, channels, 1, 1)).astype(np.float32) * np.float32(0.2)
        return ops.add(node, ops.constant(shift + np.float32(bias)))


def write_small_bundle(
    out: Path, *, attention: Literal["sparse", "dense"] = "sparse", dynamic: bool = False
) -> Bundle:
    """Write a float bundle of 2 classes and one level; its canvas is ``CANVAS``, or follows the frames."""
    build = GraphBuilder(7)
    models: dict[Part, ov.Model] = {
        "detector": _detector(build, attention, dynamic),
        "basis": _basis(build, dynamic),
    }
    roles = (*HEAD_ROLES[:3], "attention_features" if attention == "sparse" else "attention")
    tensors = {
        "detector": (
            (tensor("image", dtype="uint8", layout="NHWC"),),
            (*(tensor(role, "p3") for role in roles), tensor("pyramid", "p3")),
        ),
        "basis": ((tensor("pyramid", "p3"),), (tensor("bases"),)),
    }
    with stage_bundle(out) as folder:
        graphs: dict[Part, GraphSpec] = {}
        for part, model in models.items():
            ov.save_model(model, folder / f"{part}.xml", compress_to_fp16=False)
            graphs[part] = GraphSpec(
                format="openvino-ir",
                precision="fp32",
                files=tuple(describe_file(folder / f"{part}.{end}") for end in ("xml", "bin")),
                inputs=tensors[part][0],
                outputs=tensors[part][1],
            )
        file = None
        if attention == "sparse":
            _write_attention(folder / "attention.safetensors")
            file = describe_file(folder / "attention.safetensors")
        manifest = make_manifest(graphs, AttentionSpec(mode=attention, file=file))
        size = (None, None) if dynamic else CANVAS
        spec = msgspec.structs.replace(
            manifest.input, height=size[0], width=size[1], min_size=CANVAS[0], max_size=CANVAS[1]
        )
        manifest = msgspec.structs.replace(manifest, input=spec)
        (folder / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return Bundle.load(out)


def frames(count: int, *, size: tuple[int, int] = CANVAS, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return (H, W, 3) pictures of coloured blobs, unlike each other."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, *(side // 16 for side in size), 3))
    return [_grown(picture, 16).round().astype(np.uint8) for picture in coarse]


def _grown(picture: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    import cv2

    height, width = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (width * times, height * times)), np.float64)


def _detector(build: GraphBuilder, attention: str, dynamic: bool) -> ov.Model:
    height, width = (-1, -1) if dynamic else CANVAS
    image = ops.parameter(ov.PartialShape([1, height, width, 3]), np.uint8, name="image")
    scaled = ops.multiply(ops.subtract(ops.convert(image, "f32"), _scalar(110)), _scalar(1 / 60))
    x = ops.transpose(scaled, ops.constant(np.array([0, 3, 1, 2])))
    x = ops.relu(build.convolution("backbone.stem", x, CHANNELS, size=5, stride=4))
    x = ops.relu(build.convolution("backbone.body", x, CHANNELS, stride=2))
    pyramid = build.convolution("backbone.output3", x, CHANNELS, size=1)
    tower = ops.relu(build.convolution("head.tower", pyramid, CHANNELS))
    outputs = {
        "cls_logits_p3": build.convolution("head.cls_logits", tower, 2, bias=-2.5),
        "box_reg_p3": ops.relu(build.convolution("head.bbox_pred", tower, 4, bias=4)),
        "centerness_p3": build.convolution("head.ctrness", tower, 1, bias=1),
    }
    if attention == "dense":
        outputs["attention_p3"] = build.convolution("top_layer", tower, 4 * 14 * 14)
    else:
        outputs["attention_features_p3"] = tower
    return _model({**outputs, "p3": pyramid}, [image])


def _basis(build: GraphBuilder, dynamic: bool) -> ov.Model:
    height, width = (-1, -1) if dynamic else (side // 8 for side in CANVAS)
    pyramid = ops.parameter(ov.PartialShape([1, CHANNELS, height, width]), np.float32, name="p3")
    x = ops.relu(build.convolution("basis_module.tower.0", pyramid, CHANNELS))
    x = ops.interpolate(x, _scalars(2, 2), "nearest", "scales", axes=ops.constant(np.array([2, 3])))
    x = ops.relu(build.convolution("basis_module.tower.1", x, CHANNELS))
    return _model({"bases": build.convolution("basis_module.tower.2", x, 4, size=1)}, [pyramid])


def _model(outputs: dict[str, ov.Node], inputs: Sequence[ov.Node]) -> ov.Model:
    for node in inputs:
        node.output(0).get_tensor().set_names({node.get_friendly_name()})
    results = []
    for name, node in outputs.items():
        results.append(ops.result(node))
        results[-1].output(0).get_tensor().set_names({name})
    return ov.Model(results, list(inputs))


def _scalar(value: float) -> ov.Node:
    return ops.constant(np.float32(value))


def _scalars(*values: float) -> ov.Node:
    return ops.constant(np.array(values, np.float32))


def _write_attention(path: Path) -> None:
    random = np.random.default_rng(8)
    weight = random.normal(size=(9 * CHANNELS, 4 * 14 * 14)).astype(np.float32) / np.float32(4)
    safetensors.numpy.save_file({"weight": weight, "bias": np.zeros(weight.shape[1], np.float32)}, path)
