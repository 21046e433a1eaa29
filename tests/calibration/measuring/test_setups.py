"""Bundles with options of their own, and the names that tell them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeblend
from edgeblend.calibration.measuring.setups import RunOptions, Setup, as_setups, name_setups, resolve
from edgeblend.errors import InputError


def test_the_public_name():
    assert edgeblend.Setup is Setup


def test_own_options_come_before_those_of_the_call():
    shared = RunOptions(device="GPU", precision="f16", threads=4)
    assert resolve(Setup("r50"), shared) == shared
    own = Setup("r50", backend="tflite", device="CPU", precision="f32", threads=2, properties={"A": "b"})
    assert resolve(own, shared) == RunOptions("tflite", "CPU", "f32", 2, {"A": "b"})
    assert resolve(Setup("r50", threads=1), shared) == RunOptions(None, "GPU", "f16", 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"precision": "f64"}, "precision: unknown value 'f64'"),
        ({"device": 5}, "device: got 5"),
        ({"properties": {"A": 1}}, "properties: got 'A': 1"),
        ({"backend": 5}, "backend: got 5"),
        ({"name": " "}, "name: got ' '"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(InputError, match=words):
        Setup("r50", **options)


def test_what_is_given_becomes_a_setup():
    own = Setup("int8", threads=2)
    assert as_setups("bundles", ["fp32", own]) == [Setup("fp32"), own]
    with pytest.raises(InputError, match="bundles: got 5"):
        as_setups("bundles", [5])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/m/fp32", "/m/int8"], ["fp32", "int8"]),
        (["/m/a/net", "/m/b/net"], ["a/net", "b/net"]),
        (["/m/a/x/net", "/m/b/x/net", "/m/b/x/other"], ["a/x/net", "b/x/net", "other"]),
        (["/m/net", "/m/net", "/m/net"], ["net", "net (2)", "net (3)"]),
        (["/m/net.zip", "/m/net"], ["net.zip", "net"]),
        (["/m/net", "/m/n/net", "/m/n/net"], ["m/net", "n/net", "n/net (2)"]),
    ],
)
def test_names_tell_bundles_apart(paths, names):
    assert name_setups([Setup(Path(path)) for path in paths]) == names


def test_names_tell_setups_of_one_bundle_apart():
    setups = [
        Setup("/m/net"),
        Setup("/m/net", device="GPU"),
        Setup("/m/net", threads=2, properties={"HINT": "LATENCY"}),
        Setup("/m/net", threads=2, properties={"HINT": "LATENCY"}),
        Setup("/m/net", backend="onnxruntime", precision="f16"),
        Setup("/m/net", name="mine"),
    ]
    assert name_setups(setups) == [
        "net",
        "net@device=GPU",
        "net@threads=2,property.HINT=LATENCY",
        "net@threads=2,property.HINT=LATENCY (2)",
        "net@backend=onnxruntime,precision=f16",
        "mine",
    ]


def test_a_number_does_not_make_a_name_that_is_there():
    setups = [Setup("/m/net", name="net (2)"), Setup("/m/net"), Setup("/m/net")]
    assert name_setups(setups) == ["net (2)", "net", "net (3)"]


def test_one_name_for_two_setups_is_refused():
    with pytest.raises(InputError, match="name: got 'npu' for two setups"):
        name_setups([Setup("a", name="npu"), Setup("b", name="npu")])
