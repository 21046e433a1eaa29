"""Where RoIAlign and blending spend their time: python benchmarks/blend_profile.py [--count N] [--out FILE].

Pieces of ``blend_boxes`` on what ``synthetic_heads.py`` makes, each alone and over all chunks, in turns; and
torch's on one thread. Prints JSON with medians in milliseconds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from in_turns import machine, time_in_turns
from postprocessing import mask_probs, torch_probs
from synthetic_heads import BLEND, synthetic_outputs

from edgeblend.runtime import blender
from edgeblend.runtime.attention import gather_attention
from edgeblend.runtime.decode import decode
from edgeblend.runtime.roi_align import CHUNK, RoiSampler


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="detections")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    medians = time_in_turns(pieces(args.count), args.rounds)
    report = {"machine": machine(), "detections": args.count, "rounds": args.rounds, "median_ms": medians}
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def pieces(count: int) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    outputs = synthetic_outputs(count)
    found = decode(outputs.levels, outputs.decode)
    attention = gather_attention(outputs.features, found, outputs.layer, BLEND)
    size, bases = BLEND.mask_size, outputs.bases
    parts = [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]

    def open_sampler() -> RoiSampler:
        return RoiSampler(bases, found.boxes, spatial_scale=1 / BLEND.basis_stride, output_size=size)

    sampler = open_sampler()
    rois = [np.empty((len(bases), len(found.boxes[part]), size, size), np.float32) for part in parts]
    for part, out in zip(parts, rois, strict=True):
        sampler.sample(part, out=out)
    differences = [attention[part, 1:] - attention[part, :1] for part in parts]
    weights = [blender._grow(each, size, "bilinear").reshape(len(bases) - 1, -1) for each in differences]
    flat = [each.reshape(len(bases), -1) for each in rois]
    masks = np.zeros((count, size, size), np.float32)

    def each_part(work: Callable[[int], object]) -> Callable[[], None]:
        def run() -> None:
            for number in range(len(parts)):
                work(number)

        return run

    tensors = torch.from_numpy(bases), torch.from_numpy(found.boxes), torch.from_numpy(attention)
    return {
        "all": lambda: mask_probs(outputs, found, attention),
        "torch, one thread": lambda: torch_probs(*tensors),
        "where to sample": open_sampler,
        "sample": each_part(lambda number: sampler.sample(parts[number], out=rois[number])),
        "of which along x": each_part(lambda number: sampler._stretch(parts[number])),
        "blend": each_part(
            lambda number: blender._blend(
                rois[number], attention[parts[number]], "bilinear", out=masks[parts[number]]
            )
        ),
        "of which growing attention": each_part(
            lambda number: blender._grow(differences[number], size, "bilinear")
        ),
        "of which exponentials": each_part(lambda number: blender._exp_in_place(weights[number].copy())),
        "of which weighing": each_part(
            lambda number: np.einsum("kp,kp->p", weights[number], flat[number][1:])
        ),
        "of which summing": each_part(lambda number: np.add.reduce(weights[number], axis=0)),
        "of which the sigmoid": each_part(lambda number: blender._sigmoid_in_place(masks[parts[number]])),
    }


if __name__ == "__main__":
    main()
