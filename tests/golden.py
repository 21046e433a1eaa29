"""The golden files: what a reference implementation computed with stand-in weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from synthetic_weights import digest, load_shapes, synthetic_state_dict

from edgeblend.masks.paste import paste_probs_region
from edgeblend.results import Instances

DATA = Path(__file__).parent / "data"
CONFIGS = (
    "550_R_50_1x",
    "DLA_34_syncbn_4x",
    "Panoptic/R_50_3x",
    "RT_R_50_4x_bn-head_syncbn_shtw",
    "R_101_dcni3_5x",
    "R_50_3x",
)

Golden = dict[str, NDArray[Any]]


def load_golden(config: str) -> Golden:
    with np.load(DATA / "golden" / f"{config.replace('/', '_')}.npz") as arrays:
        return dict(arrays)


def golden_weights(config: str, golden: Golden) -> dict[str, NDArray[Any]]:
    """Return the state dict that a golden file was computed with."""
    shapes = load_shapes(DATA / "state_dict" / f"{config.replace('/', '_')}.json")
    state = synthetic_state_dict(shapes, int(golden["seed"]))
    assert digest(state) == bytes(golden["weights_sha256"]).decode()
    return state


def golden_masks(golden: Golden) -> NDArray[np.bool_]:
    """Return (N, H, W) at output size."""
    height, width = golden["output_size"].tolist()
    packed = np.unpackbits(golden["out_masks_packed"], axis=1, count=height * width)
    return packed.reshape(-1, height, width).astype(bool)


def match_golden(instances: Instances, golden: Golden) -> list[tuple[int, int]]:
    """Return (row of the golden file, index of the instance) of those that agree, each used once.

    Same class, box IoU above 0.99, score within 1e-3.
    """
    pairs, used = [], set()
    for row, (box, score, label) in enumerate(
        zip(golden["out_boxes"], golden["out_scores"], golden["out_classes"], strict=True)
    ):
        same = (instances.classes == label) & (np.abs(instances.scores - score) <= 1e-3)
        for index in np.flatnonzero(same).tolist():
            if index not in used and box_iou(box, instances.boxes[index]) > 0.99:
                used.add(index)
                pairs.append((row, index))
                break
    return pairs


def box_iou(box: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    intersection = max(sides[0], 0) * max(sides[1], 0)
    union = (box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod() - intersection
    return float(intersection / union)


def decided_mask_iou(instances: Instances, index: int, expected: NDArray[np.bool_]) -> float:
    """Return the IoU with an expected (H, W) mask, without the pixels where rounding decides.

    Samples outside the bases make a probability of exactly 0.5, on the edge of the threshold. Boxes
    agree to some 2e-4 pixels from one float32 implementation to the next, which moves probabilities
    at a mask's edge by as much: without those within 1e-4 of it alone, one mask of
    R_50_3x in torch is at IoU 0.99896 and two of R_101_dcni3_5x on OpenVINO are at 0.99844.
    """
    decided = np.ones(instances.frame_size, bool)
    top, left, probs = paste_probs_region(
        instances.mask_probs[index], instances.mask_boxes[index], instances.frame_size
    )
    decided[top : top + probs.shape[0], left : left + probs.shape[1]] = np.abs(probs - 0.5) > 5e-4
    mask = instances[index].mask()
    union = np.count_nonzero((mask | expected) & decided)
    return np.count_nonzero(mask & expected & decided) / union if union else 1.0
