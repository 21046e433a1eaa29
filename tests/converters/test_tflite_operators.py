"""MACs of operators, counted by hand, and files that are no TFLite models."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert")

import numpy as np
from tflite_factory import FLOAT32, INT32, GraphWriter, write_two_convs

from edgeblend.converters.tflite.operators import TfliteTensor, read_tflite
from edgeblend.errors import InputError


def test_a_graph_is_read(tmp_path) -> None:
    graph = read_tflite(write_two_convs(tmp_path / "graph.tflite"))
    first, second = graph.operators
    assert (first.index, first.kind, first.name, first.layer) == (0, "CONV_2D", "/first", "first")
    assert (first.shape, first.macs) == ((1, 8, 8, 8), 8 * 8 * 8 * 4)
    assert (second.layer, second.macs) == ("second", 8 * 8 * 8 * (3 * 3 * 8))
    assert graph.inputs == (TfliteTensor("image", (1, 8, 8, 4), "int8"),)
    assert graph.outputs == (TfliteTensor("out", (1, 8, 8, 8), "int8"),)
    assert graph.signature == {"image": "image", "out": "out"}


def macs_of(tmp_path: Path, kind: str, *shapes: tuple[int, ...], output: tuple[int, ...]) -> int:
    writer = GraphWriter()
    inputs = [writer.tensor(f"in{number}", shape, FLOAT32) for number, shape in enumerate(shapes)]
    out = writer.tensor("out", output, FLOAT32)
    writer.operator(kind, inputs, out)
    (operator,) = read_tflite(writer.write(tmp_path / "one.tflite", inputs=inputs, outputs=[out])).operators
    assert operator.kind == kind
    return operator.macs


@pytest.mark.parametrize(
    ("kind", "shapes", "output", "expected"),
    [
        # 2x2 outputs of 4 channels, each a sum over 3x3x8.
        ("CONV_2D", [(1, 4, 4, 8), (4, 3, 3, 8)], (1, 2, 2, 4), 2 * 2 * 4 * 72),
        # Two groups: each channel sees half of the input.
        ("CONV_2D", [(1, 4, 4, 8), (4, 3, 3, 4)], (1, 2, 2, 4), 2 * 2 * 4 * 36),
        ("DEPTHWISE_CONV_2D", [(1, 4, 4, 8), (1, 5, 5, 8)], (1, 4, 4, 8), 4 * 4 * 8 * 25),
        # Each of 2x2x3 values goes into 2x2 pixels of 6 channels.
        ("TRANSPOSE_CONV", [(4,), (6, 2, 2, 3), (1, 2, 2, 3)], (1, 4, 4, 6), 2 * 2 * 3 * 24),
        ("FULLY_CONNECTED", [(1, 5), (7, 5)], (1, 7), 35),
        # 2 products of (3, 4) and (4, 5).
        ("BATCH_MATMUL", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), 2 * 3 * 5 * 4),
        ("ADD", [(1, 4, 4, 8), (1, 4, 4, 8)], (1, 4, 4, 8), 0),
    ],
)
def test_macs(tmp_path, kind, shapes, output, expected) -> None:
    assert macs_of(tmp_path, kind, *shapes, output=output) == expected


def test_a_convolution_without_a_bias(tmp_path) -> None:
    writer = GraphWriter()
    image = writer.tensor("image", (1, 2, 2, 3), FLOAT32)
    weight = writer.tensor("conv.weight", (4, 1, 1, 3), FLOAT32, values=np.ones((4, 1, 1, 3), np.float32))
    out = writer.tensor("out", (1, 2, 2, 4), FLOAT32)
    writer.operator("CONV_2D", [image, weight, -1], out)
    (operator,) = read_tflite(writer.write(tmp_path / "x.tflite", inputs=[image], outputs=[out])).operators
    assert operator.macs == 2 * 2 * 4 * 3


@pytest.mark.parametrize("content", [b"", b"<net", b"\x1c\0\0\0ONNX" + bytes(64)])
def test_another_file_is_refused(tmp_path, content) -> None:
    path = tmp_path / "graph.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a TFLite model"):
        read_tflite(path)


def test_a_file_that_was_cut_is_refused(tmp_path) -> None:
    path = write_two_convs(tmp_path / "graph.tflite")
    path.write_bytes(path.read_bytes()[:64])
    with pytest.raises(InputError, match="broken TFLite model"):
        read_tflite(path)


def test_several_subgraphs_are_refused(tmp_path) -> None:
    writer = GraphWriter()
    tensor = writer.tensor("image", (1,), INT32)
    writer.model.subgraphs.append(writer.graph)
    with pytest.raises(InputError, match="one subgraph, found 2"):
        read_tflite(writer.write(tmp_path / "two.tflite", inputs=[tensor], outputs=[tensor]))
