"""TFLite files of one or two layers, written operator by operator, whose sizes a reader can check by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

INT8, INT32, FLOAT32 = schema.TensorType.INT8, schema.TensorType.INT32, schema.TensorType.FLOAT32
IMAGE = (1, 8, 8, 4)


class GraphWriter:
    """A graph that grows by tensors and operators."""

    def __init__(self) -> None:
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, b"test"
        self.model.subgraphs, self.model.operatorCodes = [self.graph], []
        self.model.buffers = [schema.BufferT()]  # the first is empty, for all that is computed

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        kind: int = INT8,
        *,
        values: np.ndarray | None = None,
        scale: float | None = 0.5,
    ) -> int:
        """Add a tensor and return its number; ``values`` make it a constant."""
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name.encode(), list(shape), kind, 0
        if scale is not None and kind != FLOAT32:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: list[int], output: int, options: object = None) -> None:
        """Add an operator with one output."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(self.model.operatorCodes) - 1, inputs, [output]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            made.builtinOptionsType, made.builtinOptions = getattr(schema.BuiltinOptions, name), options
        self.graph.operators.append(made)

    def conv(self, name: str, source: int, channels: int, size: int, kind: int = INT8) -> int:
        """Add a convolution with padding ``SAME`` and return its output."""
        batch, height, width, inputs = self.graph.tensors[source].shape
        shape = (channels, size, size, inputs)
        weight, bias = np.ones(shape), np.zeros(channels)
        if kind == INT8:
            weight, bias = weight.astype(np.int8), bias.astype(np.int32)
        else:
            weight, bias = weight.astype(np.float32), bias.astype(np.float32)
        weights = self.tensor(f"{name}.weight", shape, kind, values=weight, scale=0.25)
        biases = self.tensor(
            f"{name}.bias", (channels,), INT32 if kind == INT8 else FLOAT32, values=bias, scale=0.125
        )
        output = self.tensor(f"/{name}", (batch, height, width, channels), kind)
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        self.operator("CONV_2D", [source, weights, biases], output, options)
        return output

    def write(self, path: Path, *, inputs: list[int], outputs: list[int]) -> Path:
        """Write the file, with a signature that calls tensors by their names."""
        self.graph.inputs, self.graph.outputs, self.graph.name = inputs, outputs, b"main"
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = self._entries(inputs), self._entries(outputs)
        self.model.signatureDefs = [signature]
        path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(self.model)))
        return path

    def _entries(self, tensors: list[int]) -> list[object]:
        entries = []
        for tensor in tensors:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = self.graph.tensors[tensor].name, tensor
            entries.append(entry)
        return entries


def write_two_convs(path: Path, *, second_in_float: bool = False) -> Path:
    """``image`` (1, 8, 8, 4) to ``out``: 1x1 to 8 channels, 2048 MACs; 3x3 to 8 channels, 36864 MACs."""
    writer = GraphWriter()
    image = writer.tensor("image", IMAGE)
    x = writer.conv("first", image, 8, 1)
    if second_in_float:
        as_float = writer.tensor("/as_float", (1, 8, 8, 8), FLOAT32)
        writer.operator("DEQUANTIZE", [x], as_float)
        y = writer.conv("second", as_float, 8, 3, FLOAT32)
        back = writer.tensor("out", (1, 8, 8, 8))
        writer.operator("QUANTIZE", [y], back)
        return writer.write(path, inputs=[image], outputs=[back])
    out = writer.conv("second", x, 8, 3)
    writer.graph.tensors[out].name = b"out"
    return writer.write(path, inputs=[image], outputs=[out])
