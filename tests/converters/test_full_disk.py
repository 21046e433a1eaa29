"""A disk that takes no more, whoever writes: for real, as the system stops this process from large files."""

import re
from contextlib import contextmanager

import numpy as np
import onnx
import openvino as ov
import pytest
import safetensors.numpy
from small_bundle import GraphBuilder

from edgeblend.bundle import stage_bundle
from edgeblend.converters.onnx.export import write_model
from edgeblend.converters.openvino import toolkit as nncf
from edgeblend.errors import ConversionError, OutputError
from edgeblend.manifest import GraphSpec

resource = pytest.importorskip("resource")

LIMIT = 4096


@contextmanager
def files_of_at_most(size):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def write_openvino(folder):
    import openvino.opset15 as ops

    image = ops.parameter([1, 3, 64, 64], np.float32, name="image")
    model = ov.Model([GraphBuilder(0).convolution("layer", image, 64)], [image])
    graph = GraphSpec(format="openvino-ir", precision="fp32", files=(), inputs=(), outputs=())
    nncf.save_model(model, folder, "detector", graph, half=False)


def write_onnx(folder):
    weight = onnx.numpy_helper.from_array(np.zeros((64, 64), np.float32), "w")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [64, 64]) for name in "xy"]
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [weight])
    opset = [onnx.helper.make_opsetid("", 17)]
    write_model(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "g.onnx")


def write_safetensors(folder):
    safetensors.numpy.save_file({"weight": np.zeros(5000, np.float32)}, folder / "attention.safetensors")


def write_bytes(folder):
    (folder / "g.tflite").write_bytes(bytes(2 * LIMIT))


def write_stream(folder):
    del folder
    raise RuntimeError("basic_ios::clear: iostream error")  # as OpenVINO and torch do


WRITERS = [write_openvino, write_onnx, write_safetensors, write_bytes, write_stream]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_full_disk_is_an_error_of_ours_that_names_the_path(tmp_path, write, name):
    out = tmp_path / "results" / name
    with (
        files_of_at_most(LIMIT),
        pytest.raises(OutputError, match=f"^{re.escape(str(out))}: cannot be written: .*make room"),
        stage_bundle(out) as folder,
    ):
        write(folder)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("write", WRITERS[:-1])
def test_the_same_is_written_where_there_is_room(tmp_path, write):
    with stage_bundle(tmp_path / "results" / "out") as folder:
        write(folder)
    assert any((tmp_path / "results" / "out").iterdir())


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("Check 'element::Type::merge(type, a, b)' failed at src/core/src/op/util.cpp:28"),
        ConversionError("the exported graphs differ from torch"),
        ValueError("too many values to unpack"),
    ],
)
def test_a_conversion_that_fails_is_no_full_disk(tmp_path, failure):
    with pytest.raises(type(failure)) as caught, stage_bundle(tmp_path / "out"):
        raise failure
    assert caught.value is failure and list(tmp_path.iterdir()) == []
