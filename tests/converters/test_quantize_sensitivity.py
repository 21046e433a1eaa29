"""What each layer costs alone, against graphs with that layer really in INT8."""

from __future__ import annotations

import math

import numpy as np
import pytest

import edgeblend
from edgeblend import InputError, Recipe

pytest.importorskip("nncf")

from small_bundle import BASIS_LAYERS, DETECTOR_LAYERS, frames  # noqa: E402 - as above

from edgeblend.converters.openvino import toolkit  # noqa: E402
from edgeblend.runtime.backends.openvino import OpenVinoSession, compile_model  # noqa: E402
from edgeblend.runtime.preprocess import preprocess  # noqa: E402

QUICK = Recipe(name="quick", bias_correction="none")
FRAMES = frames(5)
EXACT = 100
"""Decibels that only the rounding of float32 leaves."""


@pytest.fixture(scope="module")
def measured(small_bundle):
    return edgeblend.measure_sensitivity(small_bundle, calibration=FRAMES, recipe=QUICK, frames=5)


def test_every_layer_is_measured_and_the_worst_comes_first(measured):
    assert {layer.layer for layer in measured if layer.graph == "detector"} == set(DETECTOR_LAYERS)
    assert {layer.layer for layer in measured if layer.graph == "basis"} == set(BASIS_LAYERS)
    assert len(measured) == len(DETECTOR_LAYERS) + len(BASIS_LAYERS)
    costs = [layer.sqnr_db for layer in measured]
    assert costs == sorted(costs)
    assert all(15 < cost < 70 for cost in costs)
    assert {layer.drop for layer in measured} == {None}


def test_a_layer_adds_noise_to_what_comes_after_it_alone(measured):
    by_name = {layer.layer: {output.name: output.db for output in layer.outputs} for layer in measured}
    behind = {
        "backbone.stem": {
            "cls_logits p3",
            "box_reg p3",
            "centerness p3",
            "attention_features p3",
            "pyramid p3",
        },
        "head.tower": {"cls_logits p3", "box_reg p3", "centerness p3", "attention_features p3"},
        "head.cls_logits": {"cls_logits p3"},
        "head.bbox_pred": {"box_reg p3"},
        "basis_module.tower.0": {"bases"},
    }
    for layer, outputs in behind.items():
        assert {name for name, db in by_name[layer].items() if db < EXACT} == outputs
    assert set(by_name["head.cls_logits"]) == behind["backbone.stem"]


def test_outputs_count_alike(measured):
    (layer,) = [layer for layer in measured if layer.layer == "head.tower"]
    noise = [10 ** (-output.db / 10) for output in layer.outputs]
    assert sum(one < 10 ** (-EXACT / 10) for one in noise) == 1  # the pyramid's
    assert layer.sqnr_db == pytest.approx(-10 * math.log10(sum(noise) / 5))


@pytest.mark.parametrize("name", ["backbone.stem", "head.bbox_pred"])
def test_it_is_the_noise_of_a_graph_with_that_layer_in_int8(name, measured, small_bundle):
    (layer,) = [layer for layer in measured if layer.layer == name]
    model = toolkit.read_model(small_bundle.graph_files("detector"))
    items = [{"image": preprocess(frame, small_bundle.manifest.input).canvas} for frame in FRAMES]
    others = set(DETECTOR_LAYERS) - {name}
    alone = compile_model(toolkit.quantize_model(model, items, QUICK, float_layers=others, arriving={}))
    plain = compile_model(model)
    signal, noise = np.zeros(5), np.zeros(5)
    for item in items:
        for index, (expected, found) in enumerate(
            zip(plain(item).to_tuple(), alone(item).to_tuple(), strict=True)
        ):
            signal[index] += np.square(expected, dtype=np.float64).sum()
            noise[index] += np.square(found - expected, dtype=np.float64).sum()
    assert layer.sqnr_db == pytest.approx(-10 * math.log10((noise / signal).mean()), abs=1)


def test_one_scale_for_all_channels_costs_more(measured, small_bundle):
    coarse = edgeblend.measure_sensitivity(
        small_bundle, calibration=FRAMES, recipe=Recipe(name="coarse", per_channel=False), frames=5
    )
    assert np.mean([layer.sqnr_db for layer in coarse]) < np.mean([layer.sqnr_db for layer in measured])


def test_layers_that_the_recipe_keeps_in_float_are_measured_too(measured, small_bundle):
    recipe = Recipe(name="mine", bias_correction="accurate", float_layers=("head.*",), basis="fp32")
    found = edgeblend.measure_sensitivity(small_bundle, calibration=FRAMES, recipe=recipe, frames=5)
    assert found == measured


@pytest.mark.long
def test_labels_show_what_precision_is_lost(small_bundle, small_labels):
    steps = []
    found = edgeblend.measure_sensitivity(
        small_bundle,
        calibration=FRAMES,
        recipe=QUICK,
        frames=2,
        images=small_labels / "pictures",
        annotations=small_labels / "labels.json",
        progress=steps.append,
    )
    drops = {layer.layer: layer.drop for layer in found}
    assert all(0 <= drop < 100 for drop in drops.values())
    assert max(drops.values()) > 0
    assert steps[:3] == [
        "choosing calibration frames",
        "measuring the float bundle",
        "measuring ranges of the detector graph",
    ]
    assert steps[3] == "detector layer 1 of 7: backbone.stem"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames": 0}, "frames must be at least 1, got 0"),
        ({"images": "val"}, "name their annotations"),
        ({"recipe": "int4"}, "no such recipe"),
        ({"recipe": Recipe(name="mine", float_layers=("head.boxes",))}, "no layer is called that"),
        ({"recipe": Recipe(name="mine", toolkit="abacus")}, "unknown toolkit"),
        ({"calibration": []}, "expected at least one frame"),
    ],
)
def test_what_is_refused(options, words, small_bundle):
    with pytest.raises(InputError, match=words):
        edgeblend.measure_sensitivity(small_bundle, **{"calibration": FRAMES, **options})


def test_a_bundle_that_is_quantized_is_refused(small_int8):
    with pytest.raises(InputError, match="is quantized already"):
        edgeblend.measure_sensitivity(small_int8, calibration=FRAMES)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_have_no_range(wrong, small_bundle):
    model = toolkit.read_model(small_bundle.graph_files("basis"))
    shape = tuple(model.inputs[0].shape)
    items = [{"p3": np.full(shape, value, np.float32)} for value in (1.0, wrong, 2.0)]
    with pytest.raises(edgeblend.ConversionError, match=r"calibration frame \d: \d+ of \d+ values of p3"):
        toolkit.quantize_model(model, items, QUICK, float_layers=(), arriving={})


def test_a_float_bundle_that_is_not_finite_is_refused(small_bundle, monkeypatch):
    def not_finite(self, inputs):
        return {name: np.full_like(value, np.nan) for name, value in run(self, inputs).items()}

    run = OpenVinoSession.run
    monkeypatch.setattr(OpenVinoSession, "run", not_finite)
    with pytest.raises(edgeblend.ConversionError, match=r"^the float bundle gives nan .* of detector output"):
        edgeblend.measure_sensitivity(small_bundle, calibration=FRAMES, recipe=QUICK)
