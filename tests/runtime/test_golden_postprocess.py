"""Post-processing alone, from the head outputs and bases that the golden files hold."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edgeblend.classes import COCO_THINGS
from edgeblend.masks.paste import paste_probs_region
from edgeblend.results import Instances
from edgeblend.runtime.assemble import place
from edgeblend.runtime.blender import blend
from edgeblend.runtime.decode import Detections, LevelOutputs, decode
from edgeblend.runtime.panoptic import combine_panoptic
from edgeblend.runtime.roi_align import roi_align
from edgeblend.spec import DecodeSpec, LevelSpec, PanopticSpec

FILES = sorted((Path(__file__).parents[1] / "data" / "golden").glob("*.npz"))


class Case(NamedTuple):
    golden: dict[str, np.ndarray]
    detections: Detections
    reference: np.ndarray
    """Of each detection its row in det_*."""
    mask_probs: np.ndarray
    instances: Instances


def load(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def decode_golden(golden):
    names = sorted(name.removeprefix("cls_logits_") for name in golden if name.startswith("cls_logits_"))
    spec = DecodeSpec(
        levels=tuple(LevelSpec(name=name, stride=2 ** int(name[1:])) for name in names),
        num_classes=80,
        score_threshold=0.05,
        threshold_with_centerness=True,
        nms_threshold=0.6,
        pre_nms_top_k=1000,
        max_detections=100,
    )
    outputs = [
        LevelOutputs(golden[f"cls_logits_{n}"], golden[f"bbox_reg_{n}"], golden[f"ctrness_{n}"])
        for n in names
    ]
    return decode(outputs, spec)


def match(detections, golden):
    """For each detection the reference row of its class whose box is nearest."""
    distance = np.abs(detections.boxes[:, None] - golden["det_boxes"]).max(axis=2)
    distance[detections.classes[:, None] != golden["det_classes"]] = np.inf
    return distance.argmin(axis=1)


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def case(request):
    golden = load(request.param)
    detections = decode_golden(golden)
    reference = match(detections, golden)
    rois = roi_align(golden["bases"], detections.boxes, spatial_scale=0.25, output_size=56)
    attention = golden["det_attention"][reference].reshape(-1, 4, 14, 14)
    mask_probs = blend(rois, attention, interpolation="bilinear")
    height, width = golden["output_size"].tolist()
    network_height, network_width = golden["image_bgr"].shape[:2]
    placed = place(
        detections,
        mask_probs,
        scale=(width / network_width, height / network_height),
        frame_size=(height, width),
        paste="clipped",
    )
    return Case(golden, detections, reference, mask_probs, placed.instances(class_names=COCO_THINGS))


def test_there_are_golden_files():
    assert len(FILES) == 6


def test_decode(case):
    golden, found, row = case.golden, case.detections, case.reference
    assert sorted(row) == list(range(len(golden["det_scores"])))
    np.testing.assert_array_equal(found.classes, golden["det_classes"][row])
    np.testing.assert_allclose(found.boxes, golden["det_boxes"][row], rtol=0, atol=5e-4)
    np.testing.assert_allclose(found.scores, golden["det_scores"][row], rtol=0, atol=2e-6)
    np.testing.assert_array_equal(found.levels, golden["det_fpn_levels"][row])
    strides = 8 * 2 ** found.levels[:, None]
    np.testing.assert_array_equal(
        found.cells[:, ::-1] * strides + strides // 2, golden["det_locations"][row].astype(int)
    )


def test_mask_probabilities(case):
    expected = case.golden["mask_probs_56"][case.reference].astype(np.float32)
    np.testing.assert_allclose(case.mask_probs, expected, rtol=0, atol=3e-4)


def agreement(mask, other, decided):
    """IoU without the pixels where rounding decides."""
    union = np.count_nonzero((mask | other) & decided)
    return np.count_nonzero(mask & other & decided) / union if union else 1.0


def test_agreement_notices_a_shift_by_one_pixel():
    mask = np.zeros((100, 100), bool)
    mask[10:90, 10:90] = True
    decided = np.ones_like(mask)
    assert agreement(mask, mask, decided) == 1
    assert agreement(mask, np.roll(mask, 1, axis=1), decided) < 0.98


def test_pasted_masks(case):
    golden, instances = case.golden, case.instances
    height, width = instances.frame_size
    packed = np.unpackbits(golden["out_masks_packed"], axis=1, count=height * width)
    expected = packed.reshape(-1, height, width).astype(bool)
    assert len(instances) == len(expected)
    distance = np.abs(instances.boxes[:, None] - golden["out_boxes"]).max(axis=2)
    distance[instances.classes[:, None] != golden["out_classes"]] = np.inf
    row = distance.argmin(axis=1)
    assert sorted(row) == list(range(len(expected)))
    assert distance.min(axis=1).max() < 2e-3
    np.testing.assert_allclose(instances.scores, golden["out_scores"][row], rtol=0, atol=2e-6)

    for index, mask in enumerate(instances.masks()):
        decided = np.ones((height, width), bool)
        top, left, probs = paste_probs_region(
            instances.mask_probs[index], instances.mask_boxes[index], instances.frame_size
        )
        region = np.s_[top : top + probs.shape[0], left : left + probs.shape[1]]
        decided[region] = np.abs(probs - 0.5) > 1e-4
        assert agreement(mask, expected[row[index]], decided) > 0.999


def test_panoptic():
    path = next(path for path in FILES if path.stem.startswith("Panoptic"))
    golden = load(path)
    height, width = golden["output_size"].tolist()
    masks = np.unpackbits(golden["out_masks_packed"], axis=1, count=height * width)
    panoptic, segments = combine_panoptic(
        masks.reshape(-1, height, width).astype(bool),
        golden["out_scores"],
        golden["out_classes"],
        golden["out_sem_seg_argmax"],
        PanopticSpec(overlap_threshold=0.4, stuff_area_limit=4096, instance_score_threshold=0.45),
    )
    info = json.loads(golden["out_panoptic_info"].tobytes())
    np.testing.assert_array_equal(panoptic, golden["out_panoptic_seg"])
    assert [(s.id, s.is_thing, s.category_id) for s in segments] == [
        (s["id"], s["isthing"], s["category_id"]) for s in info
    ]
    assert [s.instance for s in segments if s.is_thing] == [s["instance_id"] for s in info if s["isthing"]]
    assert [s.area for s in segments if not s.is_thing] == [s["area"] for s in info if not s["isthing"]]
    assert [s.area for s in segments] == [np.count_nonzero(panoptic == s.id) for s in segments]
