"""The comparison that every conversion makes must notice what it is there for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edgeblend.calibration.data.frames import Frame
from edgeblend.converters.opened import OpenGraph, network_of
from edgeblend.converters.reference import open_in_torch
from edgeblend.converters.split import attention_weights, split_network
from edgeblend.converters.verify import TOLERANCES, Worst, _Comparison, _refuse_beyond, relative_error, verify
from edgeblend.errors import ConversionError
from edgeblend.manifest import TensorError
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
from edgeblend.model.config import load_config
from edgeblend.runtime.attention import AttentionLayer


@pytest.fixture(scope="module")
def network(tiny_model):
    network = build_network(load_config(tiny_model.config))
    load_weights(network, read_checkpoint(tiny_model.checkpoint), source="tiny")
    return network.requires_grad_(False)


class Disturbed:
    """A session whose outputs are changed on the way out."""

    def __init__(self, session, change) -> None:
        self.session, self.change, self.info = session, change, session.info

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: self.change(name, value.copy()) for name, value in self.session.run(inputs).items()}

    def close(self) -> None:
        self.session.close()


@pytest.fixture
def check(network, tiny_bundle, photograph):
    graphs = split_network(network, attention="sparse")
    layer = AttentionLayer(**attention_weights(network))
    images = [Frame(0, "cups.jpg", photograph)]

    def run(
        change=lambda name, value: value,
        *,
        manifest=tiny_bundle.manifest,
        reference_change=lambda name, value: value,
        images=images,
    ):
        right = {graph.part: open_in_torch(graph) for graph in graphs}
        reference, candidate = (
            {part: OpenGraph(graph.spec, Disturbed(graph.session, how)) for part, graph in right.items()}
            for how in (reference_change, change)
        )
        return verify(
            network_of(manifest, reference, layer),
            network_of(manifest, candidate, layer),
            images,
            tolerance=TOLERANCES["fp32"],
        )

    return run


def test_the_same_graphs_agree_exactly(check) -> None:
    measured = check()
    assert {error.max_error for error in measured.tensors} == {0.0}
    assert measured.matched == measured.detections > 3
    assert measured.lowest_mask_iou == 1.0
    assert measured.pictures == ((400, 600),)
    assert {error.graph for error in measured.tensors} == {"detector", "basis"}


@pytest.mark.parametrize("tensor", ["cls_logits_p3", "box_reg_p5", "p4", "attention_features_p3", "bases"])
def test_one_value_that_is_off_is_refused_and_named(check, tensor) -> None:
    def change(name, value):
        if name == tensor:
            value.flat[7] += 0.01 * value.std()
        return value

    with pytest.raises(ConversionError, match=f"output {tensor} is off by 0.0"):
        check(change)


def test_the_image_on_which_a_graph_differs_most_is_named(check, photograph) -> None:
    runs = []

    def change(name, value):
        if name == "p4":
            runs.append(name)
            if len(runs) > 2:  # each image runs twice: for its outputs, and for its instances
                value.flat[7] += 0.01 * value.std()
        return value

    images = [Frame(0, "one.jpg", photograph), Frame(1, "two.jpg", photograph[:, ::-1])]
    with pytest.raises(ConversionError, match=r"p4 is off by 0\.\d+ standard deviations on two\.jpg,"):
        check(change, images=images)
    assert len(runs) == 4


def test_the_worst_of_images() -> None:
    worst = Worst().with_image(0.0, "a").with_image(2.0, "b").with_image(1.0, "c")
    assert worst == Worst(2.0, "b")
    assert np.isnan(worst.with_image(float("nan"), "d").with_image(3.0, "e").value)
    assert Worst().with_image(-1.0, "a").with_image(-0.5, "b") == Worst(-0.5, "b")


def test_an_error_within_tolerance_passes(check) -> None:
    measured = check(lambda name, value: value + np.float32(2e-4) * value.std())
    assert 1e-4 < max(error.max_error for error in measured.tensors) < 1e-3


def test_a_value_that_is_not_a_number_is_refused(check) -> None:
    def change(name, value):
        if name == "bases":
            value[0, 0, 0, 0] = np.nan
        return value

    with pytest.raises(ConversionError, match="bases is off by inf"):
        check(change)


@pytest.mark.parametrize(
    ("tensor", "wrong", "alike"),
    [
        ("box_reg_p3", np.nan, False),
        ("cls_logits_p5", np.inf, False),
        ("p4", -np.inf, False),
        ("bases", np.nan, True),
        ("box_reg_p3", np.inf, True),
    ],
)
def test_a_reference_that_is_not_finite_is_refused(check, tensor, wrong, alike) -> None:
    """Also where the exported graph gives the same, whose difference would be nan."""

    def change(name, value):
        if name == tensor:
            value.flat[:3] = wrong
        return value

    named = tensor.replace("_p", " p") if tensor != "p4" else "pyramid p4"
    with pytest.raises(ConversionError, match=rf"^torch gives nan .* 3 of \d+ values of \w+ output {named}"):
        check(change if alike else lambda name, value: value, reference_change=change)


@pytest.mark.parametrize("tensor", ["box_reg_p3", "cls_logits_p3"])
def test_a_head_that_is_not_a_number_is_refused_as_one_that_differs(check, tensor) -> None:
    def change(name, value):
        return np.full_like(value, np.nan) if name == tensor else value

    with pytest.raises(ConversionError, match=f"output {tensor} is off by inf"):
        check(change)


def test_bases_are_compared_also_when_nothing_is_detected(check, tiny_bundle) -> None:
    decode = msgspec.structs.replace(tiny_bundle.manifest.decode, score_threshold=0.9999)
    blind = msgspec.structs.replace(tiny_bundle.manifest, decode=decode)
    assert check(manifest=blind).detections == 0
    with pytest.raises(ConversionError, match="output bases"):
        check(lambda name, value: value * 1.5 if name == "bases" else value, manifest=blind)


def test_relative_error_by_hand() -> None:
    expected = np.array([[0.0, 2.0], [0.0, 2.0]], np.float32)  # standard deviation 1
    assert relative_error(expected, expected + np.float32(0.25)) == 0.25
    assert relative_error(expected, expected[:1]) == float("inf")
    assert relative_error(np.full(3, 5, np.float32), np.full(3, 7, np.float32)) == 2.0


def test_an_error_is_a_number_whatever_comes() -> None:
    one, nan, large = (np.array([value, 1], np.float32) for value in (0, np.nan, 3e38))
    for expected, actual in ((one, nan), (nan, one), (nan, nan)):
        assert relative_error(expected, actual) == float("inf")
    # Its squares are beyond float32, whose deviation would be infinite, and the error 0.
    assert relative_error(large, np.array([1.5e38, 1], np.float32)) == pytest.approx(1.0)


def all_errors(bundle):
    return {tensor.tensor: Worst() for tensor in bundle.manifest.verification.tensors}


@pytest.mark.parametrize(
    "measured",
    [
        {"tensors": (TensorError(graph="basis", tensor="bases", max_error=float("nan")),)},
        {"lowest_mask_iou": float("nan")},
    ],
)
def test_a_figure_that_is_no_number_is_beyond_tolerance(measured, tiny_bundle) -> None:
    verification = msgspec.structs.replace(tiny_bundle.manifest.verification, **measured)
    compared = _Comparison(TOLERANCES["fp32"])
    compared.errors = {key: Worst(0.0, "cups.jpg") for key in range(len(verification.tensors))}
    _refuse_beyond(tiny_bundle.manifest.verification, replace(compared, errors=all_errors(tiny_bundle)))
    with pytest.raises(ConversionError, match="nan"):
        _refuse_beyond(verification, compared)
