"""Bundles on every engine, executed in f32, against the golden files."""

from __future__ import annotations

import numpy as np
import pytest
from golden import decided_mask_iou, golden_masks, load_golden, match_golden

from edgeblend.calibration.evaluation.agreement import match_instances
from edgeblend.converters.reference import torch_segmenter
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
from edgeblend.model.config import load_config
from edgeblend.runtime.segmenter import Segmenter

pytest.importorskip("openvino")

EVERYWHERE = ("DLA_34_syncbn_4x", "RT_R_50_4x_bn-head_syncbn_shtw", "R_50_3x")
CASES = [
    ("openvino", "550_R_50_1x"),
    ("openvino", "R_101_dcni3_5x"),
    ("onnxruntime", "R_101_dcni3_5x"),
    *((target, config) for target in ("openvino", "onnxruntime", "tflite") for config in EVERYWHERE),
]


@pytest.mark.long
@pytest.mark.parametrize(("target", "config"), CASES)
def test_detections_and_masks(target: str, config: str, golden_bundle) -> None:
    golden = load_golden(config)
    with Segmenter.load(golden_bundle(config, **on(target)), precision="f32", threads=2) as segmenter:
        instances = segmenter(golden["image_bgr"], output_size=tuple(golden["output_size"].tolist()))
    pairs = match_golden(instances, golden)
    expected = golden_masks(golden)
    assert len(pairs) >= 0.98 * len(expected)
    assert len(instances) <= len(expected) + 2
    # Engines round differently from the reference, so a few pixels next to the threshold may flip.
    worst = min(decided_mask_iou(instances, index, expected[row]) for row, index in pairs)
    assert worst > 0.999


def on(target: str) -> dict[str, str]:
    """Options of a conversion; none for the default, so that tests share its bundle."""
    return {} if target == "openvino" else {"target": target}


@pytest.mark.long
def test_a_channel_swap_is_noticed(golden_bundle) -> None:
    golden = load_golden("R_50_3x")
    with Segmenter.load(golden_bundle("R_50_3x")) as segmenter:
        swapped = segmenter(
            golden["image_bgr"][:, :, ::-1], output_size=tuple(golden["output_size"].tolist())
        )
    assert len(match_golden(swapped, golden)) < 50


@pytest.mark.long
def test_sparse_and_dense_attention_agree(golden_bundle) -> None:
    picture = load_golden("DLA_34_syncbn_4x")["image_bgr"]
    results = []
    for options in ({}, {"attention": "dense"}):
        with Segmenter.load(golden_bundle("DLA_34_syncbn_4x", **options)) as segmenter:
            assert segmenter.info.attention == options.get("attention", "sparse")
            results.append(segmenter(picture))
    sparse, dense = results
    pairs = match_instances(sparse, dense, min_box_iou=0.999)
    assert len(pairs) == len(sparse) == len(dense) == 42
    np.testing.assert_allclose(
        sparse.mask_probs[pairs[:, 0]], dense.mask_probs[pairs[:, 1]], rtol=0, atol=1e-4
    )


@pytest.mark.long
@pytest.mark.parametrize("turns", [0, 1], ids=["landscape", "portrait"])
def test_a_dynamic_bundle_follows_the_frame(turns: int, golden_bundle, golden_checkpoint) -> None:
    config = "DLA_34_syncbn_4x"
    picture = np.rot90(load_golden(config)["image_bgr"], turns)
    network = build_network(load_config(config))
    load_weights(network, read_checkpoint(golden_checkpoint(config)), source=config)
    expected = torch_segmenter(network, dynamic=True)(picture)
    with Segmenter.load(golden_bundle(config, dynamic=True)) as segmenter:
        assert segmenter.info.canvas is None
        actual = segmenter(picture)
    pairs = match_instances(expected, actual, min_box_iou=0.99, max_score_difference=1e-3)
    assert len(expected) > 20
    assert len(pairs) >= 0.98 * len(expected)


@pytest.mark.long
def test_half_precision_storage_halves_the_bundle(golden_bundle) -> None:
    full = golden_bundle("DLA_34_syncbn_4x").manifest
    half = golden_bundle("DLA_34_syncbn_4x", precision="fp16").manifest
    sizes = [sum(file.size for file in m.graphs["detector"].files) for m in (full, half)]
    assert 0.45 < sizes[1] / sizes[0] < 0.55
    errors = [max(error.max_error for error in m.verification.tensors) for m in (full, half)]
    assert errors[0] < 1e-3 < errors[1]
