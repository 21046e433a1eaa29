import numpy as np
import pytest
from bundle_factory import tensor

ov = pytest.importorskip("openvino")

import openvino.opset15 as ops  # noqa: E402 - as above

from edgeblend.converters.openvino.layers import (  # noqa: E402
    float_layers,
    layer_name,
    layers_in_int8,
    layers_of,
    switch_name,
    with_switches,
)
from edgeblend.manifest import GraphSpec  # noqa: E402
from edgeblend.recipe import Recipe  # noqa: E402


def parameter(name, channels=1, width=3):
    node = ops.parameter([1, channels, 1, width], np.float32, name=name)
    node.output(0).get_tensor().set_names({name})
    return node


def weight(*rows):
    """A (O, I, 1, 1) weight."""
    return ops.constant(np.array(rows, np.float32)[:, :, None, None])


def layer(name, x, weights, *, copy=""):
    node = ops.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    node.set_friendly_name(f"__module.network.{name}/aten::_convolution/Convolution{copy}")
    return node


def model(inputs, **outputs):
    results = []
    for name, node in outputs.items():
        results.append(ops.result(node))
        results[-1].output(0).get_tensor().set_names({name})
    return ov.Model(results, inputs)


def quantizer(x, low, high, levels):
    limits = [ops.constant(np.float32(value)) for value in (low, high, low, high)]
    return ops.fake_quantize(x, *limits, levels)


def run(graph, **inputs):
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled({name: np.array(value, np.float32) for name, value in inputs.items()})
    return [np.array(value) for value in results.values()]


# Names


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("__module.network.backbone.fpn_output3/aten::_convolution/Convolution", "backbone.fpn_output3"),
        ("__module.network.head.tower.0/aten::_convolution/Convolution_2", "head.tower.0"),
        ("__module.network.fc/aten::linear/MatMul", "fc"),
        ("Convolution_12", "Convolution_12"),
    ],
)
def test_names_are_the_checkpoints(node, name):
    assert layer_name(node) == name


def test_layers_come_in_the_order_in_which_they_run():
    x = parameter("x")
    first = layer("z.first", x, weight([1], [2]))
    second = layer("a.second", ops.relu(first), weight([1, 1]))
    assert list(layers_of(model([x], y=second))) == ["z.first", "a.second"]


def test_levels_share_a_layer():
    shared = weight([2])
    inputs = [parameter(f"p{level}", width=level) for level in (3, 4)]
    nodes = [layer("head", x, shared, copy=copy) for x, copy in zip(inputs, ("", "_1"), strict=True)]
    single = layer("lateral", nodes[0], weight([1]))
    found = layers_of(model(inputs, a=single, b=nodes[1]))
    assert {name: len(nodes) for name, nodes in found.items()} == {"head": 2, "lateral": 1}
    assert {node.get_friendly_name()[-2:] for node in found["head"]} == {"on", "_1"}


def test_other_operations_are_no_layers():
    x = parameter("x")
    assert layers_of(model([x], y=ops.relu(ops.add(x, ops.constant(np.float32(1)))))) == {}


# What stays in float


@pytest.fixture
def head():
    """stem, then cls_logits behind an addition, and box_reg behind a sum of two layers and a ReLU."""
    x = parameter("image")
    stem = ops.relu(layer("stem", x, weight([1], [2])))
    logits = ops.add(layer("head.cls", stem, weight([1, 1])), ops.constant(np.float32(0.5)))
    sides = layer("head.box", stem, weight([1, 0])), layer("head.shift", stem, weight([0, 1]))
    boxes = ops.relu(ops.add(*sides))
    return model([x], cls_logits_p3=logits, box_reg_p3=boxes)


GRAPH = GraphSpec(
    format="openvino-ir",
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
        ({"float_layers": ("stem",)}, ("stem",)),
        ({"float_layers": ("head.*",)}, ("head.cls", "head.box", "head.shift")),
        ({"float_layers": ("*s*",)}, ("stem", "head.cls", "head.shift")),
        ({"float_layers": ("head",)}, ()),
        ({"float_roles": ("cls_logits",), "float_layers": ("stem", "head.c*")}, ("stem", "head.cls")),
    ],
)
def test_float_layers_by_role_and_pattern(recipe, kept, head):
    found = float_layers(head, GRAPH, Recipe(name="mine", **recipe))
    assert set(found) == set(kept)
    order = list(layers_of(head))
    assert list(found) == sorted(found, key=order.index)


# What is in INT8


def integers(*rows, scale=0.5, kind=np.int8):
    values = ops.constant(np.array(rows, kind)[:, :, None, None])
    return ops.multiply(ops.convert(values, "f32"), ops.constant(np.float32(scale)))


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        (lambda: weight([1]), ()),
        (lambda: integers([3]), ("a",)),
        (lambda: integers([3], kind=np.uint8), ("a",)),
        (lambda: quantizer(weight([1]), -1, 1, 255), ("a",)),
        (lambda: integers([3], kind=np.int32), ()),
        (lambda: ops.convert(ops.constant(np.ones((1, 1, 1, 1), np.float16)), "f32"), ()),
        (lambda: ops.reshape(integers([3]), ops.constant(np.array([1, 1, 1, 1])), False), ("a",)),
    ],
)
def test_layers_are_told_by_their_weights(weights, found):
    x = quantizer(parameter("x"), 0, 1, 256)  # what comes in says nothing
    graph = model([x.input_value(0).get_node()], y=layer("a", x, weights()))
    assert layers_in_int8(graph) == found


def test_a_layer_of_several_levels_is_in_int8_on_all_of_them():
    inputs = [parameter(f"p{level}", width=level) for level in (3, 4)]
    both = [layer("head", x, integers([1]), copy=f"_{i}") for i, x in enumerate(inputs)]
    assert layers_in_int8(model(inputs, a=both[0], b=both[1])) == ("head",)
    inputs = [parameter(f"p{level}", width=level) for level in (3, 4)]
    one = [layer("head", inputs[0], integers([1])), layer("head", inputs[1], weight([1]), copy="_1")]
    assert layers_in_int8(model(inputs, a=one[0], b=one[1])) == ()


# One layer alone


def two_layers(*, rounded):
    """y = b(relu(a(x) + (0, 4))); where asked for, with what its quantizers round to."""
    x = parameter("x")
    taken = quantizer(x, 0, 3, 4) if rounded else x  # to 0, 1, 2, 3
    first = weight([0.7], [-1.6])
    a = layer("a", taken, quantizer(first, -2, 2, 5) if rounded else first)  # to 1 and -2
    middle = ops.relu(ops.add(a, ops.constant(np.array([0, 4], np.float32)[:, None, None])))
    second = weight([1.25, 0.8])
    b = layer(
        "b",
        quantizer(middle, 0, 4, 3) if rounded else middle,  # to 0, 2, 4
        quantizer(second, -1, 1, 3) if rounded else second,  # to 1 and 1
    )
    return model([x], y=b)


X = np.array([[[[0.2, 1.4, 2.9]]]], np.float32)
PLAIN = [1.25 * 0.14 + 0.8 * 3.68, 1.25 * 0.98 + 0.8 * 1.76, 1.25 * 2.03]


def switched(plain, fake, *layers):
    """The graph with switches, run with these layers rounded."""
    made = with_switches(plain, fake)
    given = {switch_name(name): [float(name in layers)] for name in layers_of(plain)}
    return lambda **inputs: run(made, **inputs, **given)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], PLAIN),
        # x becomes 0, 1, 3 and the weights 1 and -2, so the ReLU gives 0, 1, 3 and 4, 2, 0.
        (["a"], [4 * 0.8, 1.25 + 2 * 0.8, 3 * 1.25]),
        # What comes in is 0.14, 0.98, 2.03 and 3.68, 1.76, 0: it becomes 0, 0, 2 and 4, 2, 0.
        (["b"], [4, 2, 2]),
    ],
)
def test_a_switch_rounds_its_layer_as_by_hand(layers, expected):
    plain, fake = two_layers(rounded=False), two_layers(rounded=True)
    (found,) = switched(plain, fake, *layers)(x=X)
    np.testing.assert_allclose(found[0, 0, 0], expected, rtol=1e-6)


def test_all_switches_off_is_the_float_graph_and_all_on_the_rounded_one():
    plain, fake = two_layers(rounded=False), two_layers(rounded=True)
    np.testing.assert_array_equal(switched(plain, fake)(x=X), run(plain, x=X))
    np.testing.assert_allclose(switched(plain, fake, "a", "b")(x=X), run(fake, x=X), rtol=1e-6)
    assert not np.allclose(run(plain, x=X), run(fake, x=X))


def test_both_graphs_stay_as_they_were():
    plain, fake = two_layers(rounded=False), two_layers(rounded=True)
    before = run(plain, x=X), run(fake, x=X)
    with_switches(plain, fake)
    np.testing.assert_array_equal(run(plain, x=X), before[0])
    np.testing.assert_array_equal(run(fake, x=X), before[1])
    assert not any(node.get_type_name() == "FakeQuantize" for node in plain.get_ops())
    assert len(plain.inputs) == len(fake.inputs) == 1


def test_a_quantizer_is_found_through_what_only_moves_values():
    def graph(*, rounded):
        x = parameter("x", width=4)
        taken = quantizer(x, 0, 3, 4) if rounded else x
        pooled = ops.max_pool(taken, [1, 2], [1, 1], [0, 0], [0, 0], [1, 2])
        return model([x], y=layer("a", pooled.output(0), weight([0.5])))

    (found,) = switched(graph(rounded=False), graph(rounded=True), "a")(x=[[[[0.2, 1.4, 2.9, 0]]]])
    np.testing.assert_allclose(found, [[[[0.5, 1.5]]]])  # of 1 and 3


def test_a_layer_of_several_levels_is_rounded_on_all_of_them():
    def graph(*, rounded):
        inputs = [parameter(f"p{level}", width=2) for level in (3, 4)]
        nodes = [
            layer("head", quantizer(x, 0, 3, 4) if rounded else x, weight([1]), copy=f"_{i}")
            for i, x in enumerate(inputs)
        ]
        return model(inputs, a=nodes[0], b=nodes[1])

    made = switched(graph(rounded=False), graph(rounded=True), "head")
    first, second = made(p3=[[[[0.6, 2.2]]]], p4=[[[[1.4, 1.6]]]])
    np.testing.assert_allclose([first, second], [[[[[1, 2]]]], [[[[1, 2]]]]])


def test_a_layer_that_was_not_quantized_changes_nothing():
    plain = two_layers(rounded=False)
    np.testing.assert_array_equal(switched(plain, plain, "a", "b")(x=X), run(plain, x=X))
