"""A graph whose indices lead nowhere is refused before an interpreter follows them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from ai_edge_litert import schema_py_generated as schema
from small_tflite import GraphWriter, small_basis, small_detector

from edgeblend.converters.tflite.model_file import read_file, to_bytes
from edgeblend.errors import EngineError
from edgeblend.runtime.backends import tflite
from edgeblend.runtime.backends.tflite_graph import check_graph

Change = Callable[[Any], None]
DETECTOR = small_detector()
"""Operators: 0 normalises the image, 1 to 7 are convolutions, each of its own weights and bias."""


def changed(change: Change) -> bytes:
    model = read_file(DETECTOR)
    change(model)
    return bytes(to_bytes(model))


def set_input(operator: int, place: int, index: int) -> Change:
    def change(model: Any) -> None:  # noqa: ANN401 - TFLite's own objects
        inputs = list(model.subgraphs[0].operators[operator].inputs)
        inputs[place] = index
        model.subgraphs[0].operators[operator].inputs = inputs

    return change


def set_to(path: str, value: object) -> Change:
    """Return what sets an attribute, such as ``tensors.3.shape`` of the graph or ``model.buffers``."""

    def change(model: Any) -> None:  # noqa: ANN401
        *places, last = path.removeprefix("model.").split(".")
        found = model if path.startswith("model.") else model.subgraphs[0]
        for place in places:
            found = found[int(place)] if place.isdigit() else getattr(found, place)
        setattr(found, last, value)

    return change


def quantize(scale: list[float], zero_point: list[int], axis: int = 0) -> Change:
    def change(model: Any) -> None:  # noqa: ANN401
        made = schema.QuantizationParametersT()
        made.scale, made.zeroPoint, made.quantizedDimension = scale, zero_point, axis
        model.subgraphs[0].tensors[5].quantization = made

    return change


ENDS_THE_PROCESS = {
    "weights that are not there": set_input(1, 1, -1),
    "options of another operator": set_to("model.operatorCodes.1.builtinCode", 49),
}
"""As seen with ai-edge-litert 2.3.0."""

WRONG = {
    **ENDS_THE_PROCESS,
    "a bias that is not there": set_to("operators.1.inputs", [0, 1]),
    "an input that is a constant": set_to("inputs", [1]),
    "an index below -1": set_input(1, 0, -2),
    "an index behind the last": set_input(1, 0, 1000),
    "an input that comes later": set_input(1, 0, 12),
    "an output that is not there": set_to("operators.0.outputs", [1000]),
    "an output that is the image": set_to("operators.0.outputs", [0]),
    "an output that is a weight": set_to("operators.0.outputs", [1]),
    "a tensor that is given twice": set_to("operators.2.outputs", [3]),
    "a graph without the image": set_to("inputs", []),
    "an image that is not there": set_to("inputs", [-1]),
    "an image that comes twice": set_to("inputs", [0, 0]),
    "an output of the graph that is not there": set_to("outputs", [-1]),
    "an output of the graph that nothing gives": set_to("operators", []),
    "a kind of operator that is not there": set_to("operators.0.opcodeIndex", 100),
    "a buffer that is not there": set_to("tensors.1.buffer", 100),
    "a side below 0": set_to("tensors.1.shape", [1, 1, 1, -3]),
    "a tensor of many gigabytes": set_to("tensors.0.shape", [1, 65536, 65536, 3]),
    "a tensor far larger than the image": set_to("tensors.3.shape", [1, 4000, 4000, 8]),
    "a shape that is not that of the bytes": set_to("tensors.1.shape", [1, 1, 1, 300]),
    "a name that is not UTF-8": set_to("tensors.0.name", b"\x80"),
    "a scale that is no number": quantize([float("nan")], [0]),
    "a scale of 0": quantize([0.0], [0]),
    "a scale below 0": quantize([-1.0], [0]),
    "more scales than channels": quantize([1.0] * 99, [0] * 99),
    "scales of a side that is not there": quantize([1.0] * 8, [0] * 8, axis=9),
    "zero points without scales": quantize([1.0], [0, 0]),
    "no graph": set_to("model.subgraphs", []),
    "a signature of other tensors": set_to("model.signatureDefs.0.inputs.0.tensorIndex", 1000),
}


@pytest.mark.parametrize("content", [DETECTOR, small_basis()])
def test_a_graph_in_order_passes(content, tmp_path) -> None:
    check_graph(content)
    path = tmp_path / "graph.tflite"
    path.write_bytes(content)
    check_graph(path)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_graph_that_is_not_is_refused(wrong, tmp_path) -> None:
    path = tmp_path / "graph.tflite"
    path.write_bytes(changed(WRONG[wrong]))
    with pytest.raises(EngineError, match=r"cannot open graph.tflite for CPU: the file: ") as caught:
        tflite.model_session(path)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("wrong", ENDS_THE_PROCESS)
def test_an_interpreter_alone_would_end_the_process(wrong, tmp_path) -> None:
    """What the check is for: should these come back with an error one day, less of it is needed."""
    path = tmp_path / "graph.tflite"
    path.write_bytes(changed(ENDS_THE_PROCESS[wrong]))
    code = f"""
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path={str(path)!r}, num_threads=1)
interpreter.allocate_tensors()
interpreter.invoke()
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode < 0


@pytest.mark.parametrize("content", [b"", b"<net", b"\0" * 64, DETECTOR[:100], DETECTOR[:-4000]])
def test_a_file_that_is_no_graph_is_refused(content, tmp_path) -> None:
    path = tmp_path / "graph.tflite"
    path.write_bytes(content)
    with pytest.raises(EngineError, match="cannot open graph.tflite"):
        tflite.model_session(path)


def test_a_bias_may_be_left_out_where_tflite_has_it_optional() -> None:
    writer = GraphWriter(0)
    image = writer.tensor("image", (1, 4))
    weight = writer.tensor("weight", (2, 4), np.ones((2, 4), np.float32))
    output = writer.tensor("y", (1, 2))
    writer.operator("FULLY_CONNECTED", [image, weight], output, schema.FullyConnectedOptionsT())
    model = read_file(writer.content(["image"], ["y"]))
    model.subgraphs[0].operators[0].inputs = [0, 1, -1]
    session = tflite.model_session(bytes(to_bytes(model)))
    assert session.run({"image": np.ones((1, 4), np.float32)})["y"].tolist() == [[4, 4]]


def test_files_of_interpreters_are_left_open_for_nobody(tmp_path: Path) -> None:
    """The file is mapped into memory while it is looked through, also where that ends in an error."""
    path = tmp_path / "graph.tflite"
    path.write_bytes(changed(set_input(1, 0, 1000)))
    for _ in range(3):
        with pytest.raises(ValueError, match="operator 1"):
            check_graph(path)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(path) not in maps.read_text()
