"""Whether training can learn at all: python benchmarks/overfit.py [--dataset FILE] [--out FILE].

Trains Lite0_320 on 20 pictures, none of them changed, and measures average precision on the same 20: what is
right can be learnt by heart. Targets, losses, the network, blending and pasting all have to agree for that.
Prints the curve; ``--out`` writes it as JSON, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import torch

import edgeblend
from edgeblend.calibration.data.coco import read_coco

SHIPPED = Path(__file__).parents[1] / "examples" / "demo_model" / "data" / "val.json"
EXPECTED = 90.0
"""Mask AP that this must reach."""

PLAIN = edgeblend.Augmentation(flip=False, scales=(1.0, 1.0), brightness=0, contrast=0, saturation=0)


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, default=SHIPPED)
    parser.add_argument("--images", type=Path, help="its pictures (default: the folder named like the file)")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=0.008, help="at 16 pictures a step")
    parser.add_argument("--average-decay", type=float, default=0.97)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    options = edgeblend.TrainingOptions(
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        average_decay=args.average_decay,
        warmup_steps=50,
        weight_decay=0.0,
        evaluate_every=10,
        augmentation=PLAIN,
    )
    whole = read_coco(args.dataset, args.images)
    data = dataclasses.replace(whole, images=whole.images[: args.pictures], notes=())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = edgeblend.train(
            data, Path(folder) / "run", config="Lite0_320", validation=data, options=options, report=print
        )
    seconds = time.perf_counter() - started
    assert result.accuracy is not None
    report = {
        "pictures": len(data.images),
        "objects": result.accuracy.num_objects,
        "steps": args.epochs * -(-len(data.images) // args.batch_size),
        "mask_ap": round(result.accuracy.mask.ap, 2),
        "box_ap": round(result.accuracy.box.ap, 2),
        "curve": [[r["epoch"], r["box_ap"], r["mask_ap"]] for r in result.log if "mask_ap" in r],
        "minutes": round(seconds / 60, 1),
        "options": {name: getattr(args, name) for name in ("batch_size", "learning_rate", "average_decay")},
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    print(markdown(report["curve"]))
    print(
        f"\nmask AP {report['mask_ap']}, box AP {report['box_ap']} on {report['pictures']} pictures with"
        f" {report['objects']} objects after {report['steps']} steps, {report['minutes']} minutes"
    )
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    if not result.accuracy.mask.ap >= EXPECTED:
        raise SystemExit(f"expected a mask AP of {EXPECTED} at least")


def markdown(curve: list[list[float]]) -> str:
    """Return the curve as a table."""
    rows = [f"| {epoch} | {box:.1f} | {mask:.1f} |" for epoch, box, mask in curve]
    return "\n".join(["| epoch | box AP | mask AP |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    main()
