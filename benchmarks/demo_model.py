"""How good and how fast the shipped model is: python benchmarks/demo_model.py [--rounds N] [--out FILE].

Accuracy: COCO AP on the shipped validation set, by torch and by a freshly converted float32 OpenVINO bundle,
both from the checkpoint in ``examples/demo_model/data``. Speed: whole frames (bytes in, 56 x 56
masks out) and, of the same frames, the time inside the engine alone. Prints Markdown; ``--out`` writes
the figures as JSON, too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

import edgeblend
from edgeblend.calibration.data.coco import CocoDataset, read_coco, read_picture
from edgeblend.calibration.evaluation.accuracy import Accuracy, AveragePrecision, measure_segmenter
from edgeblend.converters.reference import torch_segmenter
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
from edgeblend.model.config import load_config

ENGINE_STAGES = ("detector", "basis")
"""Of ``Instances.timings_ms``: the time spent in the engine."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(str(files("edgeblend.demo_data"))))
    parser.add_argument("--rounds", type=int, default=3, help="passes over the pictures for speed")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    dataset = read_coco(args.data / "val.json")
    with tempfile.TemporaryDirectory() as folder:
        bundle = edgeblend.convert(
            args.data / "model.safetensors",
            Path(folder) / "bundle",
            config=args.data / "config.yaml",
            class_names=dataset.class_names,
            category_ids=dataset.category_ids,
        )
        segmenter = edgeblend.Segmenter.load(bundle, device="CPU", precision="f32")
        accuracy = {
            "torch": measure_segmenter(reference(args.data, dataset), dataset),
            "openvino": measure_segmenter(segmenter, dataset),
        }
        report = {
            "accuracy": {name: asdict(plain(value)) for name, value in accuracy.items()},
            "speed": measure_speed(segmenter, dataset, args.rounds),
        }
    print(markdown(report))
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")


def reference(data: Path, dataset: CocoDataset) -> edgeblend.Segmenter:
    """Return the shipped checkpoint as torch runs it."""
    network = build_network(load_config(data / "config.yaml"))
    load_weights(network, read_checkpoint(data / "model.safetensors"), source="the shipped checkpoint")
    return torch_segmenter(network, class_names=dataset.class_names)


def plain(accuracy: Accuracy) -> Accuracy:
    """Return it with what JSON can hold."""

    def part(value: AveragePrecision) -> AveragePrecision:
        names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
        rounded = {name: round(getattr(value, name), 2) for name in names}
        return AveragePrecision(
            **rounded, per_class={name: round(ap, 2) for name, ap in value.per_class.items()}
        )

    return Accuracy(
        box=part(accuracy.box),
        mask=part(accuracy.mask),
        num_images=accuracy.num_images,
        num_objects=accuracy.num_objects,
    )


def measure_speed(segmenter: edgeblend.Segmenter, dataset: CocoDataset, rounds: int) -> dict[str, Any]:
    """Time every picture, decoded beforehand, after one pass that is not counted."""
    frames = [read_picture(image) for image in dataset.images]
    whole: list[float] = []
    engine: list[float] = []
    for counted in [False] + [True] * rounds:
        for frame in frames:
            start = time.perf_counter()
            instances = segmenter(frame)
            elapsed = (time.perf_counter() - start) * 1e3
            if counted:
                whole.append(elapsed)
                engine.append(sum(instances.timings_ms.get(stage, 0.0) for stage in ENGINE_STAGES))
    info = segmenter.info.parts["detector"]
    return {
        "frames": len(whole),
        "median_ms": round(statistics.median(whole), 2),
        "mean_ms": round(statistics.fmean(whole), 2),
        "frames_per_second": round(1e3 / statistics.fmean(whole), 1),
        "graph_only_frames_per_second": round(1e3 / statistics.fmean(engine), 1),
        "engine": info.engine,
        "precision": info.precision,
        "threads": info.threads,
        "cores": os.cpu_count(),
        "processor": info.device_name,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Return the tables that ``examples/demo_model/README.md`` shows."""
    torch_part, openvino_part = report["accuracy"]["torch"], report["accuracy"]["openvino"]
    lines = ["| | AP | AP50 | AP75 | small | medium | large |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for engine, part in (("torch", torch_part), ("OpenVINO f32", openvino_part)):
        for kind in ("box", "mask"):
            values = [
                part[kind][name] for name in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
            ]
            lines.append(f"| {kind}, {engine} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    lines += ["", "| class | box AP | mask AP |", "| --- | --- | --- |"]
    masks = torch_part["mask"]["per_class"]
    for name, value in sorted(masks.items(), key=lambda item: -item[1]):
        lines.append(f"| {name} | {torch_part['box']['per_class'][name]:.1f} | {value:.1f} |")
    speed = report["speed"]
    lines += [
        "",
        f"{speed['frames_per_second']} frames per second end to end,"
        f" {speed['graph_only_frames_per_second']} of the"
        f" graphs alone: {speed['engine']}, {speed['precision']}, {speed['threads']} threads on"
        f" {speed['cores']} cores of {speed['processor']}, mean of {speed['frames']} frames.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
