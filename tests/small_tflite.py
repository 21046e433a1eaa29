"""A TFLite bundle that is quantized in a second: graphs of a few layers, written operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from bundle_factory import HEAD_ROLES, make_manifest, tensor

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

_NO_ACTIVATION, _RELU = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU


class GraphWriter:
    """A graph in float that grows by operators; tensors go by their names."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._graph, self._model = schema.SubGraphT(), schema.ModelT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.version, self._model.subgraphs = 3, [self._graph]
        self._model.buffers, self._model.operatorCodes = [schema.BufferT()], []
        self._numbers: dict[str, int] = {}

    def tensor(self, name: str, shape: tuple[int, ...], values: np.ndarray | None = None) -> str:
        """Add a tensor of float32, or with ``values`` a constant of their type."""
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), list(shape), 0
        made.type = schema.TensorType.FLOAT32
        if values is not None:
            made.type = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32}[
                values.dtype.name
            ]
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self._model.buffers.append(buffer)
            made.buffer = len(self._model.buffers) - 1
        self._numbers[name] = len(self._graph.tensors)
        self._graph.tensors.append(made)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return tuple(self._graph.tensors[self._numbers[name]].shape)

    def operator(self, kind: str, inputs: list[str], output: str, options: Any) -> str:  # noqa: ANN401
        """Add an operator with one output, whose name it returns."""
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = getattr(schema.BuiltinOperator, kind), 1
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        self._model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = len(self._model.operatorCodes) - 1
        made.inputs = [self._numbers[name] for name in inputs]
        made.outputs = [self._numbers[output]]
        if options is not None:
            made.builtinOptions = options
            name = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        self._graph.operators.append(made)
        return output

    def convolution(
        self,
        layer: str,
        source: str,
        channels: int,
        *,
        output: str | None = None,
        size: int = 3,
        stride: int = 1,
        relu: bool = False,
        bias: float = 0.0,
    ) -> str:
        """Add a convolution with padding ``SAME`` and return its output; layers of one name share weights."""
        _, height, width, inputs = self.shape(source)
        if f"{layer}.weight" not in self._numbers:
            weight = (
                self._random.normal(size=(channels, size, size, inputs)) * 1.4 / np.sqrt(inputs * size**2)
            )
            self.tensor(f"{layer}.weight", weight.shape, weight.astype(np.float32))
            shift = (self._random.normal(size=channels) * 0.2 + bias).astype(np.float32)
            self.tensor(f"{layer}.bias", shift.shape, shift)
        made = self.tensor(output or f"/{layer}", (1, -(-height // stride), -(-width // stride), channels))
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = _RELU if relu else _NO_ACTIVATION
        return self.operator("CONV_2D", [source, f"{layer}.weight", f"{layer}.bias"], made, options)

    def normalisation(self, source: str, mean: float, std: float) -> str:
        """Add ``(source - mean) / std`` as a convolution of each channel for itself, which is no layer."""
        channels = self.shape(source)[3]
        factor = self.tensor(
            "/factor", (1, 1, 1, channels), np.full((1, 1, 1, channels), 1 / std, np.float32)
        )
        shift = self.tensor("/shift", (channels,), np.full(channels, -mean / std, np.float32))
        options = schema.DepthwiseConv2DOptionsT()
        options.strideH = options.strideW = options.depthMultiplier = 1
        options.dilationHFactor = options.dilationWFactor = 1
        output = self.tensor("/normalised", self.shape(source))
        return self.operator("DEPTHWISE_CONV_2D", [source, factor, shift], output, options)

    def doubled(self, source: str) -> str:
        """Add a resize to twice the size, by nearest neighbours."""
        _, height, width, channels = self.shape(source)
        size = self.tensor("/size", (2,), np.array([2 * height, 2 * width], np.int32))
        output = self.tensor("/doubled", (1, 2 * height, 2 * width, channels))
        options = schema.ResizeNearestNeighborOptionsT()
        return self.operator("RESIZE_NEAREST_NEIGHBOR", [source, size], output, options)

    def content(self, inputs: list[str], outputs: list[str]) -> bytes:
        """Return the file, with a signature by the tensors' names."""
        self._graph.inputs = [self._numbers[name] for name in inputs]
        self._graph.outputs = [self._numbers[name] for name in outputs]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs = [self._entry(name) for name in inputs]
        signature.outputs = [self._entry(name) for name in outputs]
        self._model.signatureDefs = [signature]
        return bytes(flatbuffer_utils.convert_object_to_bytearray(self._model))

    def _entry(self, name: str) -> Any:  # noqa: ANN401
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), self._numbers[name]
        return entry


def small_detector() -> bytes:
    """Return a detector of one level and 2 classes in float."""
    writer = GraphWriter(7)
    image = writer.tensor("image", (1, *CANVAS, 3))
    x = writer.normalisation(image, 110, 60)
    x = writer.convolution("backbone.stem", x, CHANNELS, size=5, stride=4, relu=True)
    x = writer.convolution("backbone.body", x, CHANNELS, stride=2, relu=True)
    pyramid = writer.convolution("backbone.output3", x, CHANNELS, size=1, output="p3")
    tower = writer.convolution("head.tower", pyramid, CHANNELS, relu=True, output="attention_features_p3")
    writer.convolution("head.cls_logits", tower, 2, bias=-2.5, output="cls_logits_p3")
    writer.convolution("head.bbox_pred", tower, 4, bias=4, relu=True, output="box_reg_p3")
    writer.convolution("head.ctrness", tower, 1, bias=1, output="centerness_p3")
    return writer.content(["image"], [*(f"{role}_p3" for role in HEAD_ROLES), "p3"])


def small_basis() -> bytes:
    """Return its basis graph."""
    writer = GraphWriter(9)
    x = writer.tensor("p3", (1, CANVAS[0] // 8, CANVAS[1] // 8, CHANNELS))
    x = writer.convolution("basis_module.tower.0", x, CHANNELS, relu=True)
    x = writer.convolution("basis_module.tower.1", writer.doubled(x), CHANNELS, relu=True)
    writer.convolution("basis_module.tower.2", x, 4, size=1, output="bases")
    return writer.content(["p3"], ["bases"])


def float_spec(part: Part, path: Path | None = None) -> GraphSpec:
    """Return what the manifest says of a small graph in float."""

    def channels_last(*specs: Any) -> tuple[Any, ...]:  # noqa: ANN401
        return tuple(msgspec.structs.replace(spec, layout="NHWC", dtype="float32") for spec in specs)

    pyramid = tensor("pyramid", "p3")
    head = (*(tensor(role, "p3") for role in HEAD_ROLES), pyramid)
    return GraphSpec(
        format="tflite",
        precision="fp32",
        files=(describe_file(path),) if path else (),
        inputs=channels_last(tensor("image") if part == "detector" else pyramid),
        outputs=channels_last(*(head if part == "detector" else (tensor("bases"),))),
    )


def write_small_tflite(out: Path) -> Bundle:
    """Write a float bundle of 2 classes and one level; its canvas is ``CANVAS``."""
    with stage_bundle(out) as folder:
        graphs: dict[Part, GraphSpec] = {}
        for part, content in (("detector", small_detector()), ("basis", small_basis())):
            path = folder / f"{part}.tflite"
            path.write_bytes(content)
            graphs[part] = float_spec(part, path)
        random = np.random.default_rng(8)
        weight = random.normal(size=(9 * CHANNELS, 4 * 14 * 14)).astype(np.float32) / np.float32(4)
        file = folder / "attention.safetensors"
        safetensors.numpy.save_file({"weight": weight, "bias": np.zeros(weight.shape[1], np.float32)}, file)
        manifest = make_manifest(graphs, AttentionSpec(mode="sparse", file=describe_file(file)))
        spec = msgspec.structs.replace(
            manifest.input, height=CANVAS[0], width=CANVAS[1], min_size=CANVAS[0], max_size=CANVAS[1]
        )
        manifest = msgspec.structs.replace(manifest, input=spec, target="tflite")
        (folder / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return Bundle.load(out)
