"""TFLite graphs to INT8: what is stored, what stays in float, and that it computes what it should."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

pytest.importorskip("ai_edge_quantizer")

from ai_edge_litert import schema_py_generated as schema
from small_bundle import frames
from small_tflite import (
    BASIS_LAYERS,
    CANVAS,
    DETECTOR_LAYERS,
    GraphWriter,
    float_spec,
    small_basis,
    small_detector,
)

from edgeblend.converters.opened import OpenGraph
from edgeblend.converters.quantize.part import QuantizedPart
from edgeblend.converters.quantize.search import Search
from edgeblend.converters.tflite import toolkit as ai_edge
from edgeblend.converters.tflite.model_file import (
    constant,
    operators,
    read_file,
    tensor_index,
    with_what_is_between,
)
from edgeblend.converters.tflite.ranges import ESTIMATORS, TensorStatistics, measure_statistics
from edgeblend.converters.tflite.weights import correct_biases, weight_limits
from edgeblend.errors import ConversionError, InputError
from edgeblend.manifest import TensorQuantization
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.tflite import model_session
from edgeblend.runtime.tensors import values

RECIPE = Recipe(name="test", bias_correction="fast", overflow_safe=False)


class Items:
    """Calibration items that count how often they are gone through."""

    def __init__(self, items: list[dict[str, np.ndarray]]) -> None:
        self.items, self.rounds = items, 0

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self):
        self.rounds += 1
        yield from self.items


@pytest.fixture(scope="module")
def images() -> Items:
    return Items([{"image": picture[None].astype(np.float32)} for picture in frames(8, size=CANVAS)])


@pytest.fixture(scope="module")
def features(images: Items) -> Items:
    session = model_session(small_detector())
    return Items([{"p3": session.run(item)["p3"]} for item in images])


@pytest.fixture(scope="module")
def quantized(images: Items) -> bytes:
    return ai_edge.quantize_model(small_detector(), images, RECIPE, float_layers=(), arriving={})


def outputs(content: bytes, part: str, item: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a graph on an item of the float graph's and return its outputs' values."""
    spec = ai_edge.described(content, float_spec(part))
    given = {}
    for entry in spec.inputs:
        value = item[entry.name]
        if entry.quantization is not None:
            level = np.rint(value / np.float32(entry.quantization.scale)) + entry.quantization.zero_point
            value = np.clip(level, -128, 127).astype(np.int8)
        given[entry.name] = value
    found = model_session(content).run(given)
    return {entry.name: values(entry, found[entry.name]) for entry in spec.outputs}


def noise_db(content: bytes, reference: bytes, part: str, items: Items) -> float:
    """Return by how much all outputs together, each at the same power, are above the noise."""
    shares = []
    for item in items.items:
        wanted, found = outputs(reference, part, item), outputs(content, part, item)
        shares += [
            np.square(found[name] - wanted[name]).sum() / np.square(wanted[name]).sum() for name in wanted
        ]
    return float(-10 * np.log10(np.mean(shares)))


def test_layers_go_by_the_checkpoints_names_in_their_order() -> None:
    assert ai_edge.layer_names(small_detector()) == DETECTOR_LAYERS
    assert ai_edge.layer_names(small_basis()) == BASIS_LAYERS


def test_a_graph_in_int8_has_all_its_layers_in_int8_and_no_conversions(quantized) -> None:
    assert ai_edge.layers_in_int8(quantized) == DETECTOR_LAYERS
    assert ai_edge.layers_in_int8(small_detector()) == ()
    kinds = [kind for kind, _ in operators(read_file(quantized))]
    assert kinds == [kind for kind, _ in operators(read_file(small_detector()))]
    assert model_session(quantized).info.precision == "int8"


def test_the_image_is_the_cameras_bytes_less_128(quantized) -> None:
    (image,) = ai_edge.described(quantized, float_spec("detector")).inputs
    assert (image.dtype, image.quantization) == ("int8", TensorQuantization(scale=1.0, zero_point=-128))


def test_it_computes_what_the_float_graph_does(quantized, images) -> None:
    assert noise_db(quantized, small_detector(), "detector", images) > 30


def test_the_same_items_make_the_same_bytes(quantized, images) -> None:
    assert ai_edge.quantize_model(small_detector(), images, RECIPE, float_layers=(), arriving={}) == quantized


def test_the_float_graph_is_left_as_it_was(images) -> None:
    model = small_detector()
    before = bytes(model)
    ai_edge.quantize_model(model, images, RECIPE, float_layers=(), arriving={})
    assert model == before


def test_items_are_gone_through_once(images) -> None:
    before = images.rounds
    ai_edge.quantize_model(small_detector(), images, RECIPE, float_layers=(), arriving={})
    assert images.rounds == before + 1


def test_inputs_are_taken_just_as_they_arrive(features) -> None:
    """Not as calibration would have them: the detector's own outputs flow through without a conversion."""
    free = ai_edge.quantize_model(small_basis(), features, RECIPE, float_layers=(), arriving={})
    (otherwise,) = ai_edge.described(free, float_spec("basis")).inputs
    arriving = TensorQuantization(
        scale=float(np.float32(1.17 * otherwise.quantization.scale)),
        zero_point=otherwise.quantization.zero_point + 3,
    )
    made = ai_edge.quantize_model(small_basis(), features, RECIPE, float_layers=(), arriving={"p3": arriving})
    (taken,) = ai_edge.described(made, float_spec("basis")).inputs
    assert taken.quantization == arriving
    assert noise_db(made, small_basis(), "basis", features) > 25


def test_layers_kept_in_float_take_and_give_float(images) -> None:
    kept = ("backbone.stem", "head.cls_logits")
    made = ai_edge.quantize_model(small_detector(), images, RECIPE, float_layers=kept, arriving={})
    assert ai_edge.layers_in_int8(made) == tuple(name for name in DETECTOR_LAYERS if name not in kept)
    spec = ai_edge.described(made, float_spec("detector"))
    stored = {entry.name: entry.dtype for entry in spec.outputs}
    assert stored == {
        "cls_logits_p3": "float32",
        "box_reg_p3": "int8",
        "centerness_p3": "int8",
        "attention_features_p3": "int8",
        "p3": "int8",
    }
    assert model_session(made).info.precision == "int8+f32"
    assert noise_db(made, small_detector(), "detector", images) > 30


@pytest.mark.parametrize("part", ["detector", "basis"])
def test_all_layers_in_float_are_the_float_graph(part, images, features) -> None:
    """What is between them, too; or a search that returns layer after layer would not arrive there."""
    model, items, layers = {
        "detector": (small_detector(), images, DETECTOR_LAYERS),
        "basis": (small_basis(), features, BASIS_LAYERS),
    }[part]
    made = ai_edge.quantize_model(model, items, RECIPE, float_layers=layers, arriving={})
    assert ai_edge.layers_in_int8(made) == ()
    found, wanted = (model_session(content).run(items.items[0]) for content in (made, model))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


def test_what_is_between_follows_the_layers_around_it() -> None:
    """The sum of a layer in float and one in integers stays in integers."""
    model = read_file(residual())
    layers = {"a", "b", "c"}
    assert with_what_is_between(model, ()) == set()
    assert with_what_is_between(model, {"a"}) - layers == set()
    assert with_what_is_between(model, {"a", "b"}) - layers == {"sum"}
    assert with_what_is_between(model, {"c"}) - layers == {"sum"}


def residual() -> bytes:
    """Return a graph of c(a(x) + b(x))."""
    writer = GraphWriter(0)
    writer.tensor("x", (1, 4, 4, 2))
    first, second = (writer.convolution(name, "x", 2, output=name) for name in ("a", "b"))
    writer.tensor("sum", (1, 4, 4, 2))
    writer.operator("ADD", [first, second], "sum", schema.AddOptionsT())
    writer.convolution("c", "sum", 2, output="c")
    return writer.content(["x"], ["c"])


def test_roles_and_patterns_say_what_stays_in_float() -> None:
    recipe = Recipe(name="test", float_roles=("box_reg", "centerness"), float_layers=("backbone.o*",))
    assert ai_edge.float_layers(small_detector(), float_spec("detector"), recipe) == (
        "backbone.output3",
        "head.bbox_pred",
        "head.ctrness",
    )


def test_one_layer_alone_adds_less_noise_than_all(quantized, images) -> None:
    spec = float_spec("detector")
    with ai_edge.each_alone(small_detector(), spec, images, RECIPE) as alone:
        opened = alone("head.cls_logits")
        found = opened.session.run(images.items[0])
        wanted = model_session(small_detector()).run(images.items[0])
        assert (found["cls_logits_p3"] != wanted["cls_logits_p3"]).any()
        for name in ("box_reg_p3", "centerness_p3", "p3"):
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)
        again = alone("head.bbox_pred").session.run(images.items[0])
        np.testing.assert_allclose(again["cls_logits_p3"], wanted["cls_logits_p3"], atol=1e-5)


class Enough:
    """Stands for a validation: so many layers have to be in float."""

    metric, pictures = "agreement", (0,)

    def __init__(self, needed: int) -> None:
        self.needed, self.tried = needed, []

    def drop(self, graphs, positions=None):
        opened = graphs["detector"]
        opened.session.run({spec.name: np.zeros((1, *CANVAS, 3), spec.dtype) for spec in opened.spec.inputs})
        if positions is not None:
            return 0.0, []
        self.tried.append(len(self.part.layers_in_float(self.made[-1])))
        return float(self.tried[-1] < self.needed), [50.0]


def searched(validation: Enough, items: Items, kept: tuple[str, ...], monkeypatch) -> bytes:
    """Return the small detector as a search leaves it."""
    validation.part = QuantizedPart(
        part="detector",
        target="tflite",
        toolkit=ai_edge,
        model=small_detector(),
        reference=OpenGraph(float_spec("detector"), model_session(small_detector())),
        items=items,
        recipe=RECIPE,
        arriving={},
        progress=lambda step: None,
    )
    validation.made = []
    quantize = QuantizedPart.quantize

    def remember(self, float_layers):
        validation.made.append(quantize(self, float_layers))
        return validation.made[-1]

    monkeypatch.setattr(QuantizedPart, "quantize", remember)
    return Search(validation, 0.5).quantize(validation.part, kept, {})


def test_the_search_returns_the_fewest_layers_that_hold_the_limit(images, monkeypatch) -> None:
    validation = Enough(3)
    made = searched(validation, images, (), monkeypatch)
    assert len(DETECTOR_LAYERS) - len(ai_edge.layers_in_int8(made)) == 3
    assert validation.tried == [0, 1, 2, 4, 3]


def test_a_search_that_holds_at_once_returns_nothing(images, monkeypatch) -> None:
    made = searched(Enough(0), images, ("head.ctrness",), monkeypatch)
    assert set(DETECTOR_LAYERS) - set(ai_edge.layers_in_int8(made)) == {"head.ctrness"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activations": "symmetric"}, "zero point -128"),
        ({"bias_correction": "accurate"}, "'none' or 'fast'"),
        ({"range_estimator": "histogram"}, "minmax, mean_minmax, median_minmax"),
    ],
)
def test_a_recipe_that_cannot_be_honoured_is_refused(change, message) -> None:
    ai_edge.check_recipe(RECIPE)
    with pytest.raises(InputError, match=message):
        ai_edge.check_recipe(msgspec.structs.replace(RECIPE, **change))


@pytest.mark.parametrize(("change", "worst"), [({"per_channel": False}, 3.0), ({"overflow_safe": True}, 3.0)])
def test_a_recipes_fields_are_honoured(change, worst, quantized, images) -> None:
    recipe = msgspec.structs.replace(RECIPE, **change)
    made = ai_edge.quantize_model(small_detector(), images, recipe, float_layers=(), arriving={})
    content = read_file(made)
    weight = constant(content, tensor_index(content, "head.cls_logits.weight"))
    assert weight is not None and weight.dtype == np.int8
    scales = content.subgraphs[0].tensors[tensor_index(content, "head.cls_logits.weight")].quantization.scale
    assert len(scales) == (1 if change == {"per_channel": False} else 2)
    assert np.abs(weight).max() == (63 if "overflow_safe" in change else 127)
    lost = noise_db(quantized, small_detector(), "detector", images) - noise_db(
        made, small_detector(), "detector", images
    )
    assert lost > 0


def test_ranges_follow_from_those_of_single_frames() -> None:
    frames_of = TensorStatistics(
        lowest=np.array([-1, -2, -6], np.float32),
        highest=np.array([1, 2, 9], np.float32),
        mean=np.zeros(1, np.float32),
    )
    assert {name: estimate(frames_of) for name, estimate in ESTIMATORS.items()} == {
        "minmax": (-6, 9),
        "mean_minmax": (-3, 4),
        "median_minmax": (-2, 2),
    }


def test_statistics_are_of_what_is_computed(images) -> None:
    found = measure_statistics(small_detector(), images)
    assert "backbone.stem.weight" not in found
    image = np.concatenate([item["image"] for item in images.items])
    assert found["image"].lowest.min() == image.min()
    np.testing.assert_allclose(found["image"].mean, image.mean(axis=(0, 1, 2)), rtol=1e-5)
    normalised = (image - 110) / 60
    np.testing.assert_allclose(found["/normalised"].highest.max(), normalised.max(), rtol=1e-5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_have_no_range(wrong, features) -> None:
    broken = {name: value.copy() for name, value in features.items[1].items()}
    broken["p3"].flat[:3] = wrong
    items = Items([features.items[0], broken, features.items[2]])
    with pytest.raises(ConversionError, match=r"calibration frame 2: 3 of \d+ values of tensor p3"):
        measure_statistics(small_basis(), items)


def test_what_the_interpreter_raises_is_an_error_of_ours(features) -> None:
    wrong_size = Items([{"p3": np.zeros((1, 1, 1, 1), np.float32)}])
    with pytest.raises(ConversionError, match="TFLite cannot run the graph: .*") as raised:
        measure_statistics(small_basis(), wrong_size)
    assert isinstance(raised.value.__cause__, ValueError)
    with pytest.raises(ConversionError, match="TFLite cannot run the graph: .*"):
        measure_statistics(small_basis()[:400], features)


def one_layer(weight: np.ndarray, bias: np.ndarray) -> bytes:
    """Return a graph of a 1x1 convolution of a 4x4 input."""
    writer = GraphWriter(0)
    writer.tensor("layer.weight", weight.shape, weight.astype(np.float32))
    writer.tensor("layer.bias", bias.shape, bias.astype(np.float32))
    writer.tensor("x", (1, 4, 4, weight.shape[3]))
    writer.convolution("layer", "x", len(weight), size=1, output="y")
    return writer.content(["x"], ["y"])


def test_a_channel_of_next_to_no_weights_keeps_its_bias() -> None:
    """Its bias would not fit 32 bits in steps of so small a scale, and be another number altogether."""
    model = one_layer(np.array([[[[1.0]]], [[[1e-12]]]]), np.array([0.5, 3.0]))
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 4, 4, 1)
    made = ai_edge.quantize_model(model, Items([{"x": x}]), RECIPE, float_layers=(), arriving={})
    session = model_session(made)
    content = read_file(made)
    scale = content.subgraphs[0].tensors[tensor_index(content, "y")].quantization.scale[0]
    zero_point = content.subgraphs[0].tensors[tensor_index(content, "y")].quantization.zeroPoint[0]
    found = (session.run({"x": np.zeros((1, 4, 4, 1), np.int8)})["y"].astype(float) - zero_point) * scale
    np.testing.assert_allclose(found[..., 1], 3.0, atol=scale)


def test_limits_are_the_largest_weights_of_each_output_channel() -> None:
    weight = np.array([[[[1.0, -4.0]]], [[[0.5, 0.25]]]])
    model = read_file(one_layer(weight, np.array([0.1, 0.1])))
    options = {"x": 0.01}
    per_channel = weight_limits(model, options, per_channel=True, safe=False)["layer.weight"]
    np.testing.assert_array_equal(per_channel, [[[[4.0]]], [[[0.5]]]])
    together = weight_limits(model, options, per_channel=False, safe=False)["layer.weight"]
    np.testing.assert_array_equal(together, [[[[4.0]]]])
    safe = weight_limits(model, options, per_channel=True, safe=True)["layer.weight"]
    np.testing.assert_allclose(safe, np.array([[[[4.0]]], [[[0.5]]]]) * 127 / 63)


def test_biases_make_up_for_what_rounded_weights_add_to_the_mean() -> None:
    """1.4 of a limit of 127 is stored as 1, 0.4 too little; times an input of 10 on average that is 4."""
    model = read_file(one_layer(np.array([[[[1.4, 127.0]]]]), np.array([0.0])))
    statistics = {"x": TensorStatistics(np.zeros(1), np.zeros(1), np.array([10.0, 0.0], np.float32))}
    correct_biases(model, statistics, {"layer.weight": np.full((1, 1, 1, 1), 127.0, np.float32)}, ())
    np.testing.assert_allclose(constant(model, tensor_index(model, "layer.bias")), [4.0], rtol=1e-5)
    untouched = read_file(one_layer(np.array([[[[1.4, 127.0]]]]), np.array([0.0])))
    correct_biases(
        untouched, statistics, {"layer.weight": np.full((1, 1, 1, 1), 127.0, np.float32)}, ("layer",)
    )
    np.testing.assert_array_equal(constant(untouched, tensor_index(untouched, "layer.bias")), [0.0])


def test_levels_that_share_a_layer_share_its_weights_in_int8() -> None:
    writer = GraphWriter(3)
    writer.tensor("a", (1, 4, 4, 2))
    writer.tensor("b", (1, 2, 2, 2))
    writer.convolution("head", "a", 3, output="y")
    writer.convolution("head", "b", 3, output="z")
    model = writer.content(["a", "b"], ["y", "z"])
    assert ai_edge.layer_names(model) == ("head",)
    random = np.random.default_rng(0)
    item = {"a": random.normal(size=(1, 4, 4, 2)), "b": 40 * random.normal(size=(1, 2, 2, 2))}
    items = Items([{name: value.astype(np.float32) for name, value in item.items()}])
    made = ai_edge.quantize_model(model, items, RECIPE, float_layers=(), arriving={})
    assert ai_edge.layers_in_int8(made) == ("head",)
    (first, second) = [operator for _, operator in operators(read_file(made))]
    content = read_file(made)
    np.testing.assert_array_equal(constant(content, first.inputs[1]), constant(content, second.inputs[1]))
    # The step of a bias is that of its input, so that each level has one of its own.
    assert (constant(content, first.inputs[2]) != constant(content, second.inputs[2])).any()


def test_a_float_part_is_written_as_it_is_or_in_halves(tmp_path) -> None:
    spec = float_spec("basis")
    whole = ai_edge.save_model(small_basis(), tmp_path, "basis", spec, half=False)
    assert whole.files[0].read_bytes() == small_basis()
    assert (whole.inputs, whole.outputs) == (spec.inputs, spec.outputs)
    half = ai_edge.save_model(small_basis(), tmp_path, "basis", spec, half=True)
    assert half.files == whole.files
    assert len(half.files[0].read_bytes()) < len(small_basis())
    assert model_session(half.files[0]).info.precision == "f32"
