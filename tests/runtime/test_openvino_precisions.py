"""What the engine says that each layer really runs in."""

import numpy as np
import pytest

ov = pytest.importorskip("openvino")

from small_bundle import BASIS_LAYERS, DETECTOR_LAYERS, GraphBuilder  # noqa: E402 - as above

from edgeblend.runtime.backends.openvino import (  # noqa: E402
    compile_model,
    compiled_session,
    layer_precisions,
)


def precisions(bundle, part):
    """Of the layers, by their names in the checkpoint."""
    found = layer_precisions(compile_model(ov.Core().read_model(bundle.graph_files(part)[0])))
    suffix = "/aten::_convolution/Convolution"
    return {
        name.removeprefix("__module.network.").removesuffix(suffix): kind
        for name, kind in found.items()
        if name.endswith(suffix)
    }


def test_a_float_graph_runs_in_float(small_bundle):
    assert precisions(small_bundle, "detector") == dict.fromkeys(DETECTOR_LAYERS, "f32")
    assert precisions(small_bundle, "basis") == dict.fromkeys(BASIS_LAYERS, "f32")


def test_a_graph_in_int8_runs_in_integers_but_for_what_stayed_in_float(small_int8):
    kept = small_int8.manifest.quantization.float_layers
    for part, names in {"detector": DETECTOR_LAYERS, "basis": BASIS_LAYERS}.items():
        found = precisions(small_int8, part)
        assert set(found) == set(names)
        assert {name for name, kind in found.items() if kind == "f32"} == set(kept[part])
        assert {kind for name, kind in found.items() if name not in kept[part]} <= {"u8", "i8"}


def test_names_that_were_fused_are_there_too():
    build = GraphBuilder(0)
    x = ov.opset15.parameter([1, 3, 8, 8], np.float32, name="x")
    added = build.convolution("a", x, 4)
    added.set_friendly_name("bias of a")
    relu = ov.opset15.relu(added)
    relu.set_friendly_name("relu of a")
    found = layer_precisions(compile_model(ov.Model([ov.opset15.result(relu)], [x])))
    assert {"__module.network.a/aten::_convolution/Convolution", "relu of a"} <= set(found)
    assert set(found.values()) == {"f32"}


def test_a_matrix_product_is_a_layer():
    x = ov.opset15.parameter([2, 8], np.float32, name="x")
    product = ov.opset15.matmul(x, ov.opset15.constant(np.ones((8, 4), np.float32)), False, False)
    product.set_friendly_name("fc")
    found = layer_precisions(compile_model(ov.Model([ov.opset15.result(product)], [x])))
    assert found == {"fc": "f32"}


def test_a_graph_without_layers_has_none():
    x = ov.opset15.parameter([1, 8], np.float32, name="x")
    model = ov.Model([ov.opset15.result(ov.opset15.relu(x))], [x])
    assert layer_precisions(compile_model(model)) == {}


def test_a_session_over_a_graph_in_memory(small_bundle):
    model = ov.Core().read_model(small_bundle.graph_files("basis")[0])
    session = compiled_session(compile_model(model))
    assert session.info.precision == "f32"
    assert session.info.device == "CPU"
    item = {"p3": np.random.default_rng(0).normal(size=(1, 8, 8, 12)).astype(np.float32)}
    assert session.run(item)["bases"].shape == (1, 4, 16, 24)
