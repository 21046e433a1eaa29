"""Physical tensors and what they mean."""

from __future__ import annotations

import numpy as np
import pytest

from edgeblend.manifest import GraphSpec, TensorQuantization, TensorSpec
from edgeblend.runtime.tensors import basis_inputs, detector_inputs, outputs_by_role, stored, values

HALVES = TensorQuantization(scale=0.5, zero_point=10)


def spec(name="p3", role="pyramid", level="p3", layout="NCHW", dtype="float32", quantization=None):
    return TensorSpec(
        role=role, level=level, name=name, layout=layout, dtype=dtype, quantization=quantization
    )


def graph(inputs=(), outputs=()):
    return GraphSpec(format="none", precision="fp32", files=(), inputs=tuple(inputs), outputs=tuple(outputs))


def camera(dtype, layout="NHWC", quantization=None):
    tensor = spec("image", "image", None, layout, dtype, quantization)
    return graph(inputs=[tensor])


CANVAS = np.array([[[[0, 1, 127], [128, 254, 255]]]], np.uint8)


# The picture


def test_bytes_go_in_as_they_are():
    assert detector_inputs(camera("uint8"), CANVAS)["image"] is CANVAS


def test_bytes_as_int8_are_shifted_by_128():
    given = detector_inputs(camera("int8", quantization=TensorQuantization(1.0, -128)), CANVAS)["image"]
    assert given.dtype == np.int8
    np.testing.assert_array_equal(given, [[[[-128, -127, -1], [0, 126, 127]]]])
    np.testing.assert_array_equal(CANVAS[0, 0, 0], [0, 1, 127])  # the canvas is left alone


def test_int8_with_another_scale_is_rounded():
    given = detector_inputs(camera("int8", quantization=TensorQuantization(2.0, -128)), CANVAS)["image"]
    # 0.5 and 63.5 are rounded to the even integer: 0 and 64.
    np.testing.assert_array_equal(given, [[[[-128, -128, -64], [-64, -1, 0]]]])


@pytest.mark.parametrize(("layout", "shape"), [("NHWC", (1, 1, 2, 3)), ("NCHW", (1, 3, 1, 2))])
def test_bytes_as_floats(layout, shape):
    given = detector_inputs(camera("float32", layout), CANVAS)["image"]
    assert (given.dtype, given.shape, given.flags.c_contiguous) == (np.float32, shape, True)
    expected = CANVAS if layout == "NHWC" else CANVAS.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(given, expected)


# Outputs


def test_floats_are_views_whatever_their_layout():
    first = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    last = np.ascontiguousarray(first.transpose(0, 2, 3, 1))
    outputs = outputs_by_role(
        graph(outputs=[spec(), spec("p4", level="p4", layout="NHWC")]), {"p3": first, "p4": last}
    )
    np.testing.assert_array_equal(outputs["pyramid", "p3"], first[0])
    np.testing.assert_array_equal(outputs["pyramid", "p4"], first[0])
    assert np.shares_memory(outputs["pyramid", "p3"], first)
    assert np.shares_memory(outputs["pyramid", "p4"], last)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integers_are_their_distance_from_the_zero_point_times_the_scale(dtype):
    array = np.array([10, 11, 8, np.iinfo(dtype).max]).astype(dtype).reshape(1, 1, 1, 4)
    found = values(spec(dtype=dtype, quantization=HALVES), array)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0, 0, 0], [0, 0.5, -1, (np.iinfo(dtype).max - 10) / 2])


def test_an_extreme_zero_point_does_not_wrap():
    array = np.array([-128, 127], np.int8).reshape(1, 1, 1, 2)
    found = values(spec(dtype="int8", quantization=TensorQuantization(1.0, 127)), array)
    np.testing.assert_array_equal(found[0, 0, 0], [-255, 0])


def test_the_array_that_came_is_not_changed():
    array = np.array([10, 12], np.int8).reshape(1, 1, 1, 2)
    values(spec(dtype="int8", quantization=HALVES), array)
    np.testing.assert_array_equal(array[0, 0, 0], [10, 12])


# Back to integers


def test_values_are_rounded_to_the_nearest_integer_and_held_within_its_range():
    array = np.array([0, 0.24, 0.25, 0.26, 0.75, -1e9, 1e9, 58.5], np.float32).reshape(1, 1, 1, 8)
    found = stored(spec(dtype="int8", quantization=HALVES), array)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found[0, 0, 0], [10, 10, 10, 11, 12, -128, 127, 127])


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_every_integer_comes_back_as_it_was(layout):
    tensor = spec(dtype="int8", layout=layout, quantization=TensorQuantization(0.037, -5))
    array = np.arange(-128, 128).astype(np.int8).reshape(1, 8, 8, 4)
    again = stored(tensor, values(tensor, array))
    np.testing.assert_array_equal(again, array)
    assert again.flags.c_contiguous


# From graph to graph


def test_what_both_store_alike_is_handed_on():
    array = np.zeros((1, 2, 3, 4), np.int8)
    given = spec("detector_p3", dtype="int8", layout="NHWC", quantization=HALVES)
    taken = spec("basis_p3", dtype="int8", layout="NHWC", quantization=HALVES)
    inputs = basis_inputs(graph(outputs=[given]), graph(inputs=[taken]), {"detector_p3": array})
    assert inputs["basis_p3"] is array


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "NCHW"},
        {"quantization": TensorQuantization(0.25, 10)},
        {"quantization": TensorQuantization(0.5, 9)},
        {"dtype": "float32", "quantization": None},
    ],
)
def test_what_they_store_otherwise_keeps_its_values(changes):
    described = {"dtype": "int8", "layout": "NHWC", "quantization": HALVES}
    given, taken = spec("out", **described), spec("in", **{**described, **changes})
    array = np.arange(10, 34).astype(np.int8).reshape(1, 2, 3, 4)
    inputs = basis_inputs(graph(outputs=[given]), graph(inputs=[taken]), {"out": array})
    assert str(inputs["in"].dtype) == taken.dtype
    np.testing.assert_array_equal(values(taken, inputs["in"]), values(given, array))


def test_levels_are_told_apart():
    detector = graph(outputs=[spec("a", level="p3"), spec("b", level="p4"), spec("c", "cls_logits", "p5")])
    basis = graph(inputs=[spec("x", level="p4"), spec("y", level="p3")])
    low, high = np.zeros((1, 1, 1, 1), np.float32), np.ones((1, 1, 1, 1), np.float32)
    inputs = basis_inputs(detector, basis, {"a": low, "b": high, "c": high})
    assert inputs["x"] is high and inputs["y"] is low
