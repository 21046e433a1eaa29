"""Our post-processing against torch's, side by side: python benchmarks/postprocessing.py [--out FILE].

From the head's outputs to masks on the frame, at 512x736 with 80 classes and 1, 10, 100 and 300 detections;
and stage by stage. ``torch_postprocessing.py`` is what we compare with, ``synthetic_heads.py`` makes the
outputs. Both must give the same boxes, scores and masks before anything is timed, and take turns in one
process. Also says what a frame without detections costs. Prints JSON with medians in milliseconds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch_postprocessing as with_torch
from in_turns import machine, time_in_turns
from synthetic_heads import BLEND, CANVAS, Synthetic, synthetic_outputs
from torch import Tensor

from edgeblend.masks.paste import paste_probs_region
from edgeblend.results import Instances
from edgeblend.runtime.assemble import place
from edgeblend.runtime.attention import gather_attention, read_attention
from edgeblend.runtime.blender import blend_boxes
from edgeblend.runtime.decode import Detections, decode

COUNTS = (1, 10, 100, 300)
NAMES = tuple(f"class {index}" for index in range(80))

Work = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=40, help="turns; fewer of them for 100 and more detections"
    )
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="detections")
    parser.add_argument("--torch-threads", type=int, help="default: what torch chooses")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    if args.torch_threads:
        torch.set_num_threads(args.torch_threads)
    report = {
        "machine": machine(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "canvas": CANVAS,
        "classes": len(NAMES),
        "rounds": args.rounds,
        "without_detections_ms": measure_nothing(args.rounds),
        "detections": {count: measure(count, args.rounds) for count in args.counts},
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def measure_nothing(rounds: int) -> dict[str, float]:
    """Time decoding and assembling where nothing scores."""
    outputs = synthetic_outputs(0)
    found = decode(outputs.levels, outputs.decode)
    assert not len(found)
    probs = np.empty((0, BLEND.mask_size, BLEND.mask_size), np.float32)
    return time_in_turns(
        {
            "decode": lambda: decode(outputs.levels, outputs.decode),
            "assemble": lambda: to_instances(found, probs),
        },
        rounds,
    )


class TorchInputs(NamedTuple):
    """The same outputs as tensors that share their memory."""

    levels: list[with_torch.Heads]
    features: list[Tensor]
    attention_maps: list[Tensor]
    weight: Tensor
    bias: Tensor
    bases: Tensor


def measure(count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Check that both agree, then time them; returns for each piece of work ours, theirs and the ratio."""
    outputs = synthetic_outputs(count, dense=True)
    tensors = TorchInputs(
        levels=[
            with_torch.Heads(*map(torch.from_numpy, (level.cls_logits, level.box_reg, level.centerness)))
            for level in outputs.levels
        ],
        features=[torch.from_numpy(feature) for feature in outputs.features],
        attention_maps=[torch.from_numpy(level_map) for level_map in outputs.attention_maps],
        weight=torch.from_numpy(outputs.layer.weight),
        bias=torch.from_numpy(outputs.layer.bias),
        bases=torch.from_numpy(outputs.bases),
    )
    check_equal(count, outputs, tensors)
    fewer = max(rounds * 10 // max(count, 10), 5)
    return {name: in_turns(work, fewer) for name, work in works(outputs, tensors).items()}


def in_turns(work: dict[str, Work], rounds: int) -> dict[str, float]:
    """Time ours and theirs; ``times_as_fast`` is how many times as long theirs take."""
    medians = time_in_turns(work, rounds)
    ratios = {
        name.replace("torch", "times_as_fast"): round(value / medians["ours"], 2)
        for name, value in medians.items()
        if name != "ours"
    }
    return {**{f"{name}_ms": value for name, value in medians.items()}, **ratios}


def works(outputs: Synthetic, tensors: TorchInputs) -> dict[str, dict[str, Work]]:
    """Return what is timed: by name, ours and theirs."""
    found = decode(outputs.levels, outputs.decode)
    attention = gather_attention(outputs.features, found, outputs.layer, BLEND)
    instances = to_instances(found, mask_probs(outputs, found, attention))
    theirs = with_torch.decode(tensors.levels, outputs.decode)
    their_attention = torch.from_numpy(attention)
    boxes, probs = torch.from_numpy(instances.boxes.copy()), torch.from_numpy(instances.mask_probs.copy())
    bases = tensors.bases
    return {
        "decode_to_masks": {
            "ours": lambda: ours(outputs).masks(),
            "torch": lambda: torch_masks(outputs, tensors)[1],
            "torch_pasting_by_box": lambda: torch_masks(outputs, tensors, by_box=True)[1],
        },
        "decode_to_masks_dense_attention": {
            "ours": lambda: ours(outputs, dense=True).masks(),
            "torch": lambda: torch_masks(outputs, tensors, dense=True)[1],
            "torch_pasting_by_box": lambda: torch_masks(outputs, tensors, dense=True, by_box=True)[1],
        },
        "decode": {
            "ours": lambda: decode(outputs.levels, outputs.decode),
            "torch": lambda: with_torch.decode(tensors.levels, outputs.decode),
        },
        "sparse_attention": {
            "ours": lambda: gather_attention(outputs.features, found, outputs.layer, BLEND),
            "torch": lambda: with_torch.gather_attention(
                tensors.features, theirs, tensors.weight, tensors.bias, BLEND
            ),
        },
        "roi_align_and_blend": {
            "ours": lambda: mask_probs(outputs, found, attention),
            "torch": lambda: torch_probs(bases, theirs.boxes, their_attention),
        },
        "roi_align_blend_and_paste": {
            "ours": lambda: to_instances(found, mask_probs(outputs, found, attention)).masks(),
            "torch": lambda: with_torch.paste_masks(
                torch_probs(bases, theirs.boxes, their_attention), boxes, CANVAS
            ),
            "torch_pasting_by_box": lambda: with_torch.paste_masks_by_box(
                torch_probs(bases, theirs.boxes, their_attention), boxes, CANVAS
            ),
        },
        "paste": {
            "ours": instances.masks,
            "torch": lambda: with_torch.paste_masks(probs, boxes, CANVAS),
            "torch_pasting_by_box": lambda: with_torch.paste_masks_by_box(probs, boxes, CANVAS),
        },
    }


def ours(outputs: Synthetic, *, dense: bool = False) -> Instances:
    """Return what the runtime makes of the graphs' outputs."""
    found = decode(outputs.levels, outputs.decode)
    if dense:
        attention = read_attention(outputs.attention_maps, found, BLEND)
    else:
        attention = gather_attention(outputs.features, found, outputs.layer, BLEND)
    return to_instances(found, mask_probs(outputs, found, attention))


def mask_probs(outputs: Synthetic, found: Detections, attention: np.ndarray) -> np.ndarray:
    """Return our (N, R, R) probabilities."""
    return blend_boxes(
        outputs.bases,
        found.boxes,
        attention,
        spatial_scale=1 / BLEND.basis_stride,
        mask_size=BLEND.mask_size,
        interpolation=BLEND.attention_interpolation,
    )


def to_instances(found: Detections, probs: np.ndarray) -> Instances:
    """Return instances on a frame as large as the canvas."""
    placed = place(found, probs, scale=(1.0, 1.0), frame_size=CANVAS, paste="clipped")
    return placed.instances(class_names=NAMES)


def torch_masks(
    outputs: Synthetic, tensors: TorchInputs, *, dense: bool = False, by_box: bool = False
) -> tuple[with_torch.Found, Tensor]:
    """Return torch's detections, boxes clipped to the frame, and masks."""
    found = with_torch.decode(tensors.levels, outputs.decode)
    if dense:
        attention = with_torch.read_attention(tensors.attention_maps, found, BLEND)
    else:
        attention = with_torch.gather_attention(tensors.features, found, tensors.weight, tensors.bias, BLEND)
    probs = torch_probs(tensors.bases, found.boxes, attention)
    height, width = CANVAS
    clipped = torch.minimum(found.boxes.clamp(min=0), torch.tensor([width, height, width, height]))
    paste = with_torch.paste_masks_by_box if by_box else with_torch.paste_masks
    return found._replace(boxes=clipped), paste(probs, clipped, CANVAS)


def torch_probs(bases: Tensor, boxes: Tensor, attention: Tensor) -> Tensor:
    """Return torch's (N, R, R) probabilities."""
    return with_torch.blend(with_torch.roi_align(bases, boxes, BLEND), attention, BLEND)


def check_equal(count: int, outputs: Synthetic, tensors: TorchInputs) -> None:
    """Assert that both give the same boxes, scores, classes and masks, whichever way."""
    for dense in (False, True):
        instances = ours(outputs, dense=dense)
        masks = instances.masks()
        assert len(instances) == count, f"expected {count} detections, got {len(instances)}"
        for by_box in (False, True):
            found, their_masks = torch_masks(outputs, tensors, dense=dense, by_box=by_box)
            np.testing.assert_array_equal(instances.classes, found.classes.numpy())
            np.testing.assert_allclose(instances.boxes, found.boxes.numpy(), rtol=0, atol=1e-3)
            np.testing.assert_allclose(instances.scores, found.scores.numpy(), rtol=0, atol=1e-5)
            for index, other in enumerate(their_masks.numpy()):
                differ = (masks[index] != other) & decided(instances, index)
                assert np.count_nonzero(differ) <= 0.001 * np.count_nonzero(masks[index] | other)


def decided(instances: Instances, index: int) -> np.ndarray:
    """Return where rounding does not decide, (H, W) bool: beyond the bases probabilities are exactly 0.5."""
    top, left, probs = paste_probs_region(
        instances.mask_probs[index], instances.mask_boxes[index], instances.frame_size
    )
    everywhere = np.ones(instances.frame_size, bool)
    everywhere[top : top + probs.shape[0], left : left + probs.shape[1]] = np.abs(probs - 0.5) > 1e-4
    return everywhere


if __name__ == "__main__":
    main()
