"""How far torch and OpenVINO are from the golden files: python benchmarks/parity.py.

Prints a Markdown table, one line a config: the largest error of heads and bases in torch, of all
outputs on OpenVINO in f32 against torch (as verification measures it), in standard deviations of the tensor;
and on OpenVINO the detections found and the lowest IoU of their pasted masks.
"""

import logging
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from golden import (
    CONFIGS,
    Golden,
    decided_mask_iou,
    golden_masks,
    golden_weights,
    load_golden,
    match_golden,
)

import edgeblend
from edgeblend.model.blendmask import BlendMask, build_network
from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
from edgeblend.model.config import load_config


def main() -> None:
    """Measure and print."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    print("| config | torch, heads and bases | OpenVINO against torch | detections found | lowest mask IoU |")
    print("| --- | --- | --- | --- | --- |")
    for config in CONFIGS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {config} | {' | '.join(measure(config, Path(folder)))} |", flush=True)


def measure(config: str, folder: Path) -> tuple[str, str, str, str]:
    """Return the cells of one line."""
    golden = load_golden(config)
    checkpoint = folder / "golden.pth"
    state = golden_weights(config, golden)
    torch.save({"model": {name: torch.from_numpy(value) for name, value in state.items()}}, checkpoint)
    network = build_network(load_config(config))
    load_weights(network, read_checkpoint(checkpoint), source=config)

    picture = golden["image_bgr"]
    bundle = edgeblend.convert(checkpoint, folder / "bundle", config=config, input_size=picture.shape[:2])
    with edgeblend.Segmenter.load(bundle, precision="f32") as segmenter:
        instances = segmenter(picture, output_size=tuple(golden["output_size"].tolist()))
    pairs, masks = match_golden(instances, golden), golden_masks(golden)
    lowest = min(decided_mask_iou(instances, index, masks[row]) for row, index in pairs)
    exported = max(error.max_error for error in bundle.manifest.verification.tensors)
    return (
        f"{torch_error(network, golden):.1e}",
        f"{exported:.1e}",
        f"{len(pairs)} of {len(masks)}",
        f"{lowest:.4f}",
    )


def torch_error(network: BlendMask, golden: Golden) -> float:
    """Return the largest error of heads and bases, in standard deviations of the golden tensor."""
    with torch.inference_mode():
        pyramid = network.pyramid(network.normalize(torch.from_numpy(golden["image_bgr"])[None]))
        head = network.head(pyramid)
        bases = network.basis([pyramid[name] for name in network.config.basis.in_features])
    pairs = [(golden["bases"], bases)]
    for level, output in zip(network.config.fcos.in_features, head, strict=True):
        pairs += [
            (golden[f"cls_logits_{level}"], output.cls_logits),
            (golden[f"bbox_reg_{level}"], output.box_reg),
            (golden[f"ctrness_{level}"], output.centerness),
        ]
    return max(relative(expected, actual[0].numpy()) for expected, actual in pairs)


def relative(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Return the largest difference over the standard deviation of what is expected."""
    return float(np.abs(expected - actual).max() / expected.std())


if __name__ == "__main__":
    main()
