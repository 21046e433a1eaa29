"""Quantizing small ONNX graphs for real, with NNCF: what comes out computes in integers in ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from typing import get_args, get_type_hints

import msgspec
import numpy as np
import pytest
from bundle_factory import tensor

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("nncf")

from onnx_graphs import GraphBuilder, operators, run, tower  # noqa: E402 - as above

from edgeblend.converters.onnx import toolkit  # noqa: E402
from edgeblend.converters.onnx.biases import store_biases  # noqa: E402
from edgeblend.converters.onnx.export import write_model  # noqa: E402
from edgeblend.converters.onnx.fusing import with_ends, without_ends  # noqa: E402
from edgeblend.converters.opened import OpenGraph  # noqa: E402
from edgeblend.converters.quantize.part import QuantizedPart  # noqa: E402
from edgeblend.converters.quantize.recipe_files import load_recipe, recipe_names  # noqa: E402
from edgeblend.converters.quantize.search import Search  # noqa: E402
from edgeblend.errors import ConversionError, EngineError  # noqa: E402
from edgeblend.manifest import GraphSpec  # noqa: E402
from edgeblend.recipe import Recipe  # noqa: E402
from edgeblend.runtime.backends.base import EngineOptions  # noqa: E402
from edgeblend.runtime.backends.onnxruntime import model_session, open_session  # noqa: E402

QUICK = Recipe(name="quick", bias_correction="none")
GRAPH = GraphSpec(
    format="onnx", precision="fp32", files=(), inputs=(tensor("pyramid", "p3"),), outputs=(tensor("bases"),)
)
LAYERS = ("tower.0", "tower.1", "tower.2", "tower.3", "tower.4")


def quick(**changes):
    return msgspec.structs.replace(QUICK, **changes)


def items(count, *, seed=0, size=(12, 16)):
    random = np.random.default_rng(seed)
    return [{"p3": random.normal(size=(1, 4, *size)).astype(np.float32)} for _ in range(count)]


def quantized(model, recipe=QUICK, *, float_layers=(), count=4):
    return toolkit.quantize_model(model, items(count), recipe, float_layers=float_layers, arriving={})


def fused(model, folder) -> Counter[str]:
    """How many operators of each type ONNX Runtime computes."""
    settings = ort.SessionOptions()
    settings.optimized_model_filepath = str(folder / "optimized.onnx")
    settings.log_severity_level = 3
    ort.InferenceSession(
        model.SerializeToString(),
        settings,
        providers=["CPUExecutionProvider"],
        disabled_optimizers={"WeightBiasQuantization"},
    )
    return Counter(operators(onnx.load(folder / "optimized.onnx")))


def in_float(found: Counter[str]) -> int:
    return found["Conv"] + found["FusedConv"]


def outputs(model, given) -> np.ndarray:
    session = model_session(model.SerializeToString())
    return np.stack([np.array(session.run(item)["bases"]) for item in given])


def decibels(model, other, given) -> float:
    expected, found = outputs(model, given), outputs(other, given)
    return float(10 * np.log10(np.square(expected).sum() / np.square(found - expected).sum()))


@pytest.fixture(scope="module")
def made():
    return quantized(tower())


# Integers


def test_every_layer_is_computed_in_integers(made, tmp_path):
    assert toolkit.layer_names(made) == toolkit.layers_in_int8(made) == LAYERS
    found = fused(made, tmp_path)
    assert (found["QLinearConv"], in_float(found)) == (5, 0)
    assert found["QLinearAdd"] == 1
    assert found["InstanceNormalization"] == found["Mul"] == 1  # norms stay in float
    write_model(made, tmp_path / "basis.onnx")
    graph = msgspec.structs.replace(GRAPH, precision="int8")
    info = open_session(graph, [tmp_path / "basis.onnx"], EngineOptions()).info
    assert info.precision == "int8+f32"


def test_what_nncf_makes_alone_is_not(tmp_path):
    """The control of the test above: the same without ends, and signed where values are."""
    from edgeblend.converters.quantize.nncf_pipeline import run_pipeline

    plain = onnx.shape_inference.infer_shapes(tower())
    found = fused(run_pipeline(plain, items(4), QUICK, ignored=()), tmp_path)
    assert in_float(found) >= 2


def test_it_computes_nearly_the_same(made):
    assert decibels(tower(), made, items(3, seed=9)) > 20


def test_inputs_and_outputs_are_those_of_the_float_graph(made):
    plain = tower()
    for one, other in ((made.graph.input, plain.graph.input), (made.graph.output, plain.graph.output)):
        assert [value.name for value in one] == [value.name for value in other]
        assert [value.type.tensor_type.elem_type for value in one] == [onnx.TensorProto.FLOAT]


def test_values_that_others_than_layers_take_are_unsigned(made):
    zero_points = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    kinds = {zero_points[node.input[2]] for node in made.graph.node if node.op_type == "QuantizeLinear"}
    assert kinds == {onnx.TensorProto.UINT8}


@pytest.mark.parametrize("size", [(12, 16), (7, 9)])
def test_sides_that_are_open(size, tmp_path):
    build = GraphBuilder(1)
    padded = build.node("Pad", "p3", build.constant(np.array([0, 0, 0, 0, 0, 0, 1, 2])))
    first = build.node("Relu", build.random_layer("a", padded, 4, 4))
    both = build.node("Concat", first, first, axis=1)
    model = build.build(
        {"p3": ("float32", (1, 4, "h", "w"))}, {"bases": build.random_layer("b", both, 8, 4, size=1)}
    )
    made = quantized(model)
    found = fused(made, tmp_path)
    assert (found["QLinearConv"], in_float(found)) == (2, 0)  # though a Pad and a Concat lie before them
    assert decibels(model, made, items(2, size=size)) > 20


def test_levels_share_weights_and_have_their_own_biases():
    build = GraphBuilder(2)
    taken = [build.node("Relu", "p3"), build.node("Mul", "p3", build.constant(np.float32(3)))]
    heads = [
        build.random_layer("head", x, 4, 4, copy=copy) for x, copy in zip(taken, ("", "/1"), strict=True)
    ]
    model = build.build({"p3": ("float32", (1, 4, 12, 16))}, {"a": heads[0], "bases": heads[1]})
    made = toolkit.quantize_model(
        model, items(6), quick(bias_correction="accurate"), float_layers=(), arriving={}
    )
    assert toolkit.layers_in_int8(made) == ("head",)
    weights = {node.input[1] for node in made.graph.node if node.op_type == "Conv"}
    biases = {node.input[2] for node in made.graph.node if node.op_type == "Conv"}
    assert (len(weights), len(biases)) == (1, 2)


# What stays in float


@pytest.mark.parametrize("kept", [("tower.4",), ("tower.0", "tower.3"), ("tower.1",)])
def test_layers_in_float(kept, tmp_path):
    made = quantized(tower(), float_layers=kept)
    assert toolkit.layers_in_int8(made) == tuple(name for name in LAYERS if name not in kept)
    found = fused(made, tmp_path)
    assert (found["QLinearConv"], in_float(found)) == (5 - len(kept), len(kept))


def test_a_layer_in_float_gives_what_it_gives(made):
    """One in INT8 gives no more than 256 values."""
    last = quantized(tower(), float_layers=("tower.4",))
    given = items(1)
    assert len(np.unique(outputs(made, given))) <= 256
    assert len(np.unique(outputs(last, given))) > 500
    assert decibels(tower(), last, given) > decibels(tower(), made, given)


# Options


@pytest.mark.parametrize(
    ("options", "highest"), [({}, 64), ({"overflow_safe": False}, 127), ({"per_channel": False}, 64)]
)
def test_half_of_the_weights_range_is_used_where_products_could_overflow(options, highest):
    made = quantized(tower(), quick(**options))
    found = [onnx.numpy_helper.to_array(one) for one in made.graph.initializer if one.data_type == 3]
    weights = [values.astype(int) for values in found if values.ndim == 4]
    assert len(weights) == 5
    for values in weights:
        channels = np.abs(values).reshape(len(values), -1).max(axis=1)
        if options.get("per_channel", True):
            assert ((channels >= highest - 1) & (channels <= highest)).all()
        else:
            assert channels.max() <= highest and channels.min() < highest - 1


@pytest.mark.parametrize("name", get_args(get_type_hints(Recipe)["range_estimator"]))
def test_range_estimators(name):
    given = items(6)
    given[0]["p3"] *= 30
    made = toolkit.quantize_model(tower(), given, quick(range_estimator=name), float_layers=(), arriving={})
    scales = {one.name: onnx.numpy_helper.to_array(one) for one in made.graph.initializer}
    (first,) = [
        node for node in made.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "p3"
    ]
    highest = float(scales[first.input[1]]) * 127
    widest = np.abs(given[0]["p3"]).max()
    assert 0 < highest <= 1.1 * widest
    assert (highest > 0.8 * widest) == (name in ("minmax", "histogram")) or name == "histogram"


@pytest.mark.parametrize(("count", "looked_at"), [(5, 5), (30, 20)])
def test_bias_correction_holds_no_more_frames_when_there_are_more(count, looked_at, monkeypatch):
    from nncf.quantization.algorithms.bias_correction.algorithm import BiasCorrection

    held = []
    original = BiasCorrection._create_feed_dicts

    def spy(self, *args):
        feeds = original(self, *args)
        held.append(len(feeds))
        return feeds

    monkeypatch.setattr(BiasCorrection, "_create_feed_dicts", spy)
    quantized(tower(), quick(bias_correction="accurate"), count=count)
    assert set(held) == {looked_at}


def test_the_same_frames_make_the_same_file(tmp_path):
    for name in ("one", "again"):
        write_model(quantized(tower(), Recipe(name="mine"), count=6), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "again").read_bytes()
    write_model(quantized(tower(), Recipe(name="mine"), count=7), tmp_path / "other")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


def test_the_float_graph_is_not_changed():
    model = tower()
    before = model.SerializeToString(deterministic=True)
    quantized(model)
    assert model.SerializeToString(deterministic=True) == before


def test_it_keeps_quiet(capfd):
    quantized(tower(), quick(bias_correction="accurate"))
    assert capfd.readouterr() == ("", "")


def test_what_the_toolkit_cannot_do_is_a_conversion_error():
    wrong = [{"p3": np.zeros((1, 4), np.float32)}] * 2
    with pytest.raises(ConversionError, match="NNCF cannot quantize the graph: "):
        toolkit.quantize_model(tower(), wrong, QUICK, float_layers=(), arriving={})


def test_ends_leave_no_trace():
    model = tower()
    back = without_ends(with_ends(model, ()))
    assert operators(back) == operators(model)
    given = items(1)[0]
    np.testing.assert_array_equal(run(back, **given)["bases"], run(model, **given)["bases"])


# Biases


def biased(bias, weights=((3, 0), (0, 5)), scale=(0.5, 0.25)):
    """y = a(x) of x in steps of 0.5, with a (2, 2) weight in integers."""
    build = GraphBuilder()
    values = build.constant(np.array(weights, np.int8)[:, :, None, None])
    steps = build.constant(np.array(scale, np.float32)), build.constant(np.zeros(2, np.int8))
    weight = build.node("DequantizeLinear", values, *steps, axis=0)
    y = build.node(
        "Conv", build.rounded("x", 0.5), weight, build.constant(np.array(bias, np.float32)), name="a"
    )
    return build.build({"x": ("float32", (1, 2, 1, 1))}, {"y": y})


def stored_bias(model):
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    return constants["a.bias stored"], constants["a.bias scale"]


def test_biases_are_counted_in_steps_of_the_products():
    model = biased([1.0, -0.5])
    before = run(model, x=[[[[1]], [[2]]]])["y"]
    store_biases(model)
    stored, scale = stored_bias(model)
    assert (stored.tolist(), str(stored.dtype)) == ([4, -4], "int32")
    assert scale.tolist() == [0.25, 0.125]
    np.testing.assert_array_equal(run(model, x=[[[[1]], [[2]]]])["y"], before)
    np.testing.assert_array_equal(before.ravel(), [3 * 0.5 + 1, 5 * 0.25 * 2 - 0.5])


def test_a_channel_without_weights_keeps_its_bias():
    """In steps of its weights it would need more than 32 bits."""
    model = biased([1.0, 40.0], scale=(0.5, 1e-12))
    store_biases(model)
    stored, scale = stored_bias(model)
    assert np.abs(stored.astype(np.int64)).max() <= 2**30
    np.testing.assert_allclose(stored * scale.astype(np.float64), [1, 40], rtol=1e-6)
    np.testing.assert_allclose(run(model, x=[[[[1]], [[2]]]])["y"].ravel(), [2.5, 40], rtol=1e-6)


def test_layers_in_float_keep_their_biases():
    build = GraphBuilder()
    y = build.random_layer("a", build.rounded("x", 0.5), 2, 2)
    model = build.build({"x": ("float32", (1, 2, 4, 4))}, {"y": y})
    before = model.SerializeToString()
    store_biases(model)
    assert model.SerializeToString() == before


# One layer alone


def test_each_layer_alone():
    model, given = tower(), items(4)
    with toolkit.each_alone(model, GRAPH, given, Recipe(name="mine", float_layers=("tower.0",))) as alone:
        found = {}
        for layer in LAYERS:
            opened = alone(layer)
            assert opened.spec is GRAPH
            noise = [np.array(opened.session.run(item)["bases"]) for item in given] - outputs(model, given)
            found[layer] = float(np.square(noise).mean())
        first = alone("tower.0").session
        last = alone("tower.4").session
        with pytest.raises(EngineError, match="closed"):
            first.run(given[0])
    with pytest.raises(EngineError, match="closed"):
        last.run(given[0])
    assert all(value > 0 for value in found.values())
    everything = outputs(quantized(model), given) - outputs(model, given)
    assert 0.2 < sum(found.values()) / np.square(everything).mean() < 5


# A search


class Noise:
    """Stands for a validation: what is lost is how far outputs are from the float graph's."""

    metric = "agreement"

    def __init__(self, given, expected):
        self.pictures, self._expected, self.lost = given, expected, []

    def drop(self, graphs, positions=None):
        session = graphs["basis"].session
        noise = [
            100
            * float(np.abs(session.run(self.pictures[position])["bases"] - self._expected[position]).mean())
            for position in (range(len(self.pictures)) if positions is None else positions)
        ]
        if positions is None:
            self.lost.append(float(np.mean(noise)))
        return float(np.mean(noise)), [100 - one for one in noise]


def test_a_search_returns_layers_to_float_until_the_drop_is_allowed(tmp_path):
    model, given = tower(), items(4)
    noise = Noise(given, outputs(model, given))
    part = QuantizedPart(
        part="basis",
        target="onnxruntime",
        toolkit=toolkit,
        model=model,
        reference=OpenGraph(GRAPH, model_session(model.SerializeToString())),
        items=given,
        recipe=QUICK,
        arriving={},
        progress=lambda step: None,
    )
    plain = Search(noise, 100).quantize(part, (), {})
    assert toolkit.layers_in_int8(plain) == LAYERS
    (lost,) = noise.lost
    made = Search(noise, 0.8 * lost).quantize(part, (), {})
    kept = set(part.layers_in_float(made))
    assert 0 < len(kept) < len(LAYERS)
    assert min(noise.lost) <= 0.8 * lost
    assert set(toolkit.layers_in_int8(made)) == set(LAYERS) - kept
    found = fused(made, tmp_path)
    assert (found["QLinearConv"], in_float(found)) == (5 - len(kept), len(kept))
    np.testing.assert_array_equal(outputs(without_ends(made), given), outputs(made, given))


# Files


def test_a_graph_that_stays_in_float_can_be_stored_in_half(tmp_path):
    sizes = {}
    for half in (False, True):
        written = toolkit.save_model(tower(), tmp_path, "basis", GRAPH, half=half)
        assert (written.files, written.inputs, written.outputs) == (
            (tmp_path / "basis.onnx",),
            GRAPH.inputs,
            GRAPH.outputs,
        )
        sizes[half] = written.files[0].stat().st_size
        found = outputs(toolkit.read_model(written.files), items(1))
        np.testing.assert_allclose(found, outputs(tower(), items(1)), atol=0.01 if half else 0)
    assert sizes[True] < 0.8 * sizes[False]


def test_shipped_recipes():
    assert recipe_names("onnxruntime") == ("int8", "int8-accurate")
    for name in recipe_names("onnxruntime"):
        recipe = load_recipe(name, "onnxruntime")
        assert recipe.name == name
        assert recipe.overflow_safe
        toolkit.check_recipe(recipe)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_have_no_range(wrong):
    broken = items(4)
    broken[2]["p3"].flat[:3] = wrong
    with pytest.raises(ConversionError, match=r"calibration frame \d: \d+ of \d+ values of p3"):
        toolkit.quantize_model(tower(), broken, QUICK, float_layers=(), arriving={})
