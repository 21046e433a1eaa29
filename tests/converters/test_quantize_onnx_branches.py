"""Accurate bias correction of ONNX graphs that branch, as residual blocks and aggregating backbones do."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("nncf")

from onnx_graphs import GraphBuilder  # noqa: E402 - as above

from edgeblend.converters.onnx import toolkit  # noqa: E402
from edgeblend.errors import ConversionError  # noqa: E402
from edgeblend.recipe import Recipe  # noqa: E402
from edgeblend.runtime.backends.onnxruntime import model_session  # noqa: E402

ACCURATE = Recipe(name="accurate", bias_correction="accurate")


def items(count):
    random = np.random.default_rng(0)
    return [{"p3": random.normal(size=(1, 4, 12, 16)).astype(np.float32)} for _ in range(count)]


def block(build, name, x):
    """Two convolutions, and a projection that joins them."""
    project = build.random_layer(f"{name}.project", x, 4, 4, size=1)
    first = build.node("Relu", build.random_layer(f"{name}.conv1", x, 4, 4))
    second = build.random_layer(f"{name}.conv2", first, 4, 4)
    return build.node("Relu", build.node("Add", second, project))


def branching():
    """Two blocks, the results of both and what came in gathered by a last layer."""
    build = GraphBuilder(3)
    stem = build.node("Relu", build.random_layer("stem", "p3", 4, 4))
    one = block(build, "one", stem)
    two = block(build, "two", one)
    root = build.random_layer("root", build.node("Concat", two, one, stem, axis=1), 12, 4, size=1)
    return build.build({"p3": ("float32", (1, 4, 12, 16))}, {"bases": root})


def means(model, given):
    session = model_session(model.SerializeToString())
    return np.mean([np.array(session.run(item)["bases"]) for item in given], axis=(0, 1, 3, 4))


def test_what_is_corrected_is_nearer():
    model, given = branching(), items(8)
    shifts = {}
    for kind in ("none", "accurate"):
        recipe = Recipe(name=kind, bias_correction=kind)
        made = toolkit.quantize_model(model, given, recipe, float_layers=(), arriving={})
        assert set(toolkit.layers_in_int8(made)) == set(toolkit.layer_names(model))
        shifts[kind] = float(np.abs(means(made, given) - means(model, given)).mean())
    assert shifts["accurate"] < shifts["none"]


def test_without_the_remedy_it_cannot_be_done(monkeypatch):
    """If this fails, the libraries have mended it, and the remedy can go."""
    monkeypatch.setattr(toolkit, "_sound_bias_correction", contextlib.nullcontext)
    with pytest.raises(ConversionError, match="NNCF cannot quantize the graph"):
        toolkit.quantize_model(branching(), items(4), ACCURATE, float_layers=(), arriving={})


def test_the_libraries_are_left_as_they_were():
    from nncf.onnx.engine import ONNXEngine
    from nncf.quantization.algorithms.bias_correction.algorithm import BiasCorrection

    before = ONNXEngine.__init__, BiasCorrection._prepare_subgraph
    toolkit.quantize_model(branching(), items(2), ACCURATE, float_layers=(), arriving={})
    assert (ONNXEngine.__init__, BiasCorrection._prepare_subgraph) == before
