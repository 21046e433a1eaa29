"""The torch network with the runtime's post-processing against the golden files, end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden import CONFIGS, decided_mask_iou, golden_masks, load_golden, match_golden

from edgeblend.converters.reference import torch_segmenter
from edgeblend.model.blendmask import BlendMask, build_network
from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
from edgeblend.model.config import load_config, panoptic_spec
from edgeblend.runtime.panoptic import combine_panoptic


def load_network(config: str, golden_checkpoint) -> BlendMask:
    network = build_network(load_config(config))
    load_weights(network, read_checkpoint(golden_checkpoint(config)), source=config)
    return network


@pytest.mark.long
@pytest.mark.parametrize("config", CONFIGS)
def test_detections_and_masks(config: str, golden_checkpoint) -> None:
    golden = load_golden(config)
    picture = golden["image_bgr"]
    segmenter = torch_segmenter(load_network(config, golden_checkpoint), input_size=picture.shape[:2])
    instances = segmenter(picture, output_size=tuple(golden["output_size"].tolist()))

    pairs = match_golden(instances, golden)
    expected = golden_masks(golden)
    assert len(instances) == len(expected)
    assert len(pairs) == len(expected)
    worst = min(decided_mask_iou(instances, index, expected[row]) for row, index in pairs)
    assert worst > 0.999


@pytest.mark.long
def test_panoptic_segments(golden_checkpoint) -> None:
    config = "Panoptic/R_50_3x"
    golden = load_golden(config)
    picture, size = golden["image_bgr"], tuple(golden["output_size"].tolist())
    network = load_network(config, golden_checkpoint)
    instances = torch_segmenter(network, input_size=picture.shape[:2])(picture, output_size=size)
    with torch.inference_mode():
        logits = network.semantic(network.pyramid(network.normalize(torch.from_numpy(picture)[None])))
        full = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
        cropped = full[..., : picture.shape[0], : picture.shape[1]]
        resized = F.interpolate(cropped, size=size, mode="bilinear", align_corners=False)
    semantic = resized[0].argmax(0).numpy()
    assert np.mean(semantic == golden["out_sem_seg_argmax"]) > 0.999

    spec = panoptic_spec(network.config)
    assert spec is not None
    found, segments = combine_panoptic(instances.masks(), instances.scores, instances.classes, semantic, spec)
    info = json.loads(golden["out_panoptic_info"].tobytes())
    assert sorted((segment.is_thing, segment.category_id) for segment in segments) == sorted(
        (segment["isthing"], segment["category_id"]) for segment in info
    )
    assert np.mean(kinds(found, segments) == kinds_of_info(golden["out_panoptic_seg"], info)) > 0.999


def kinds(panoptic, segments):
    """Each pixel's (is_thing, category) as one number: segment ids may be ordered differently."""
    table = np.zeros(len(segments) + 1, int)
    for segment in segments:
        table[segment.id] = 1 + segment.category_id + 1000 * segment.is_thing
    return table[panoptic]


def kinds_of_info(panoptic, info):
    table = np.zeros(len(info) + 1, int)
    for segment in info:
        table[segment["id"]] = 1 + segment["category_id"] + 1000 * segment["isthing"]
    return table[panoptic]
