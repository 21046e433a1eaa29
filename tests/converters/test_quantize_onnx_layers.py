"""Layers of ONNX graphs: their names, what stays in float, and one of them rounded alone."""

import numpy as np
import pytest
from bundle_factory import tensor

onnx = pytest.importorskip("onnx")

from onnx_graphs import GraphBuilder, operators, run  # noqa: E402 - as above

from edgeblend.converters.onnx.index import index_of, remove_unused  # noqa: E402
from edgeblend.converters.onnx.layers import (  # noqa: E402
    float_layers,
    last_layers,
    layer_name,
    layers_in_int8,
    layers_of,
    rounding_before,
    roundings,
    with_rounded,
)
from edgeblend.manifest import GraphSpec  # noqa: E402
from edgeblend.recipe import Recipe  # noqa: E402


def weight(*rows):
    """A (O, I, 1, 1) weight."""
    return np.array(rows, np.float32)[:, :, None, None]


def vector(channels=1, width=3):
    return ("float32", (1, channels, 1, width))


def integers(build, *rows, scale=0.5, kind=np.int8):
    """A weight as integers behind one scale for each output channel."""
    values = build.constant(np.array(rows, kind)[:, :, None, None])
    scales = build.constant(np.full(len(rows), scale, np.float32)), build.constant(np.zeros(len(rows), kind))
    return build.node("DequantizeLinear", values, *scales, axis=0)


# Names


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("backbone.fpn_output3", "backbone.fpn_output3"),
        ("head.tower.0/2", "head.tower.0"),
        ("node_1", "node_1"),
    ],
)
def test_names_are_the_checkpoints(node, name):
    assert layer_name(node) == name


def test_layers_come_in_the_order_in_which_they_run_and_levels_share_them():
    build = GraphBuilder()
    first = build.layer("z.head", "p3", weight([2]))
    second = build.layer("z.head", "p4", weight([2]), copy="/1")
    single = build.layer("a.lateral", first, weight([1]))
    model = build.build({"p3": vector(), "p4": vector()}, {"a": single, "b": build.node("Relu", second)})
    assert {name: len(nodes) for name, nodes in layers_of(model).items()} == {"z.head": 2, "a.lateral": 1}
    assert list(layers_of(model)) == ["z.head", "a.lateral"]


# What stays in float


@pytest.fixture
def head():
    """stem, then cls_logits behind an addition, and box_reg behind a sum of two layers and a ReLU."""
    build = GraphBuilder()
    stem = build.node("Relu", build.layer("stem", "image", weight([1], [2])))
    logits = build.node("Add", build.layer("head.cls", stem, weight([1, 1])), build.constant(np.float32(0.5)))
    sides = build.layer("head.box", stem, weight([1, 0])), build.layer("head.shift", stem, weight([0, 1]))
    boxes = build.node("Relu", build.node("Add", *sides))
    return build.build({"image": vector()}, {"cls_logits_p3": logits, "box_reg_p3": boxes})


GRAPH = GraphSpec(
    format="onnx",
    precision="fp32",
    files=(),
    inputs=(tensor("image"),),
    outputs=(tensor("cls_logits", "p3"), tensor("box_reg", "p3")),
)


@pytest.mark.parametrize(
    ("recipe", "kept"),
    [
        ({}, ()),
        ({"float_roles": ("cls_logits",)}, ("head.cls",)),
        ({"float_roles": ("box_reg",)}, ("head.box", "head.shift")),
        ({"float_roles": ("bases", "attention")}, ()),  # this graph has no such outputs
        ({"float_layers": ("head.*",)}, ("head.cls", "head.box", "head.shift")),
        ({"float_layers": ("head",)}, ()),
        ({"float_roles": ("cls_logits",), "float_layers": ("stem",)}, ("stem", "head.cls")),
    ],
)
def test_float_layers_by_role_and_pattern(recipe, kept, head):
    assert float_layers(head, GRAPH, Recipe(name="mine", **recipe)) == kept


def test_last_layers_end_at_the_graphs_inputs(head):
    index = index_of(head)
    assert last_layers(index, "box_reg_p3") == {"head.box", "head.shift"}
    assert last_layers(index, "image") == set()


# What is in INT8


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda build: build.constant(weight([1])), ()),
        (lambda build: integers(build, [3]), ("a",)),
        (lambda build: integers(build, [3], kind=np.uint8), ("a",)),
        (lambda build: integers(build, [3], kind=np.int32), ()),
        (lambda build: build.rounded(build.constant(weight([1])), 0.1), ()),  # floats, rounded when it runs
        (lambda build: build.node("Cast", build.constant(weight([1]).astype(np.float16)), to=1), ()),
    ],
)
def test_layers_are_told_by_their_weights(make, found):
    build = GraphBuilder()
    x = build.rounded("x", 0.1)  # what comes in says nothing
    model = build.build({"x": vector()}, {"y": build.node("Conv", x, make(build), name="a")})
    assert layers_in_int8(model) == found


def test_a_layer_of_several_levels_is_in_int8_on_all_of_them():
    found = {}
    for both in (True, False):
        build = GraphBuilder()
        weights = [integers(build, [1]), integers(build, [1]) if both else build.constant(weight([1]))]
        nodes = [build.node("Conv", x, w, name=f"head/{x}") for x, w in zip("ab", weights, strict=True)]
        model = build.build({"a": vector(), "b": vector()}, {"y": nodes[0], "z": nodes[1]})
        found[both] = layers_in_int8(model)
    assert found == {True: ("head",), False: ()}


# Steps


@pytest.mark.parametrize(
    ("move", "found"),
    [
        (lambda build, x: x, True),
        (lambda build, x: build.node("MaxPool", x, kernel_shape=[1, 2]), True),
        (lambda build, x: build.node("Transpose", x, perm=[0, 1, 3, 2]), True),
        (lambda build, x: build.node("Concat", x, x, axis=1), True),
        (lambda build, x: build.node("Concat", x, build.rounded("x", 0.5), axis=1), False),
        (
            lambda build, x: build.node(
                "Resize", x, "", build.constant(np.ones(4, np.float32)), mode="nearest"
            ),
            True,
        ),
        (
            lambda build, x: build.node(
                "Resize", x, "", build.constant(np.ones(4, np.float32)), mode="linear"
            ),
            False,
        ),
        (lambda build, x: build.node("Relu", x), False),
    ],
)
def test_steps_outlast_what_only_moves_values(move, found):
    build = GraphBuilder()
    model = build.build({"x": vector()}, {"y": build.node("Abs", move(build, build.rounded("x", 0.25, 7)))})
    index = index_of(model)
    step = rounding_before(index, index.makers["y"].input[0])
    assert (step is not None) == found
    if step is not None:
        assert (float(step[0]), int(step[1])) == (0.25, 7)


# One layer alone


def two_layers(*, rounded):
    """y = b(relu(a(x) + (0, 4))); where asked for, as a quantized graph, whose output is rounded, too."""
    build = GraphBuilder()
    x = build.rounded("x", 1.0) if rounded else "x"
    bias = build.constant(np.array([0, 4], np.float32))
    weights = integers(build, [1], [-2], scale=1) if rounded else build.constant(weight([0.7], [-1.6]))
    middle = build.node("Relu", build.node("Conv", x, weights, bias, name="a"))
    middle = build.rounded(middle, 2.0) if rounded else middle
    weights = integers(build, [1, 1], scale=1) if rounded else build.constant(weight([1.25, 0.8]))
    y = build.node("Conv", middle, weights, name="b")
    return build.build({"x": vector()}, {"y": build.rounded(y, 3.0) if rounded else y})


X = [[[[0.2, 1.4, 2.9]]]]
PLAIN = [1.25 * 0.14 + 0.8 * 3.68, 1.25 * 0.98 + 0.8 * 1.76, 1.25 * 2.03]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # x becomes 0, 1, 3 and the weights 1 and -2, so the ReLU gives 0, 1, 3 and 4, 2, 0.
        ("a", [4 * 0.8, 1.25 + 2 * 0.8, 3 * 1.25]),
        # What comes in is 0.14, 0.98, 2.03 and 3.68, 1.76, 0: it becomes 0, 0, 2 and 4, 2, 0. The sums are
        # 4, 2, 2, and the output has steps of 3.
        ("b", [3, 3, 3]),
    ],
)
def test_a_layer_is_rounded_as_by_hand(layer, expected):
    plain = two_layers(rounded=False)
    made = with_rounded(plain, layer, roundings(two_layers(rounded=True)))
    np.testing.assert_allclose(run(made, x=X)["y"][0, 0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(run(plain, x=X)["y"][0, 0, 0], PLAIN, rtol=1e-6)  # which is left as it was


def test_one_after_the_other_is_the_quantized_graph():
    quantized = two_layers(rounded=True)
    made = two_layers(rounded=False)
    for layer in ("a", "b"):
        made = with_rounded(made, layer, roundings(quantized))
    np.testing.assert_allclose(run(made, x=X)["y"], run(quantized, x=X)["y"], rtol=1e-6)


def test_a_layer_that_was_not_quantized_changes_nothing():
    plain = two_layers(rounded=False)
    assert roundings(plain) == {}
    np.testing.assert_array_equal(run(with_rounded(plain, "a", {}), x=X)["y"], run(plain, x=X)["y"])


def test_what_layers_take_is_rounded_on_their_account():
    """A result that is an output, too, is rounded there, and by the layer that takes it."""
    build = GraphBuilder()
    first = build.rounded(
        build.node("Conv", build.rounded("x", 1.0), integers(build, [1], scale=1), name="a"), 2.0
    )
    second = build.node("Conv", first, integers(build, [1], scale=1), name="b")
    quantized = build.build({"x": vector()}, {"p3": first, "y": second})
    build = GraphBuilder()
    first = build.layer("a", "x", weight([1]))
    plain = build.build({"x": vector()}, {"p3": first, "y": build.layer("b", first, weight([1]))})
    found = run(with_rounded(plain, "a", roundings(quantized)), x=[[[[1, 2, 3]]]])
    assert found["p3"].tolist() == [[[[0, 2, 4]]]]
    assert found["y"].tolist() == [[[[1, 2, 3]]]]
    found = run(with_rounded(plain, "b", roundings(quantized)), x=[[[[1, 2, 3]]]])
    assert found["p3"].tolist() == [[[[1, 2, 3]]]]
    assert found["y"].tolist() == [[[[0, 2, 4]]]]


def test_what_nobody_takes_is_removed():
    build = GraphBuilder()
    build.node("Abs", build.node("Neg", "x", name="kept"), name="left over")
    build.constant(np.float32(1))
    model = build.build({"x": vector()}, {"y": build.node("Relu", "kept.0")})
    remove_unused(model)
    assert operators(model) == ["Neg", "Relu"]
    assert len(model.graph.initializer) == 0
