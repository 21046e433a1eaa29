"""The demo model on every engine, in float and INT8, in one run: python benchmarks/engines.py [--out FILE].

Converts the shipped checkpoint to each target, in each precision that the target has, quantizes by the recipe
``int8`` with the shipped calibration pictures, and compares all bundles on the shipped validation set with
OpenVINO in float32: ``edgeblend compare``, with two threads for each. Prints Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from demo_bundles import DEMO, convert_demo

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.report.compare.text import markdown

PRECISIONS = {
    "openvino": ("fp32", "fp16"),
    "onnxruntime": ("fp32", "fp16"),
    "tflite": ("fp32", "fp16", "int8-dynamic"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="pictures at most (default: all 200)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reference, *others = make_bundles(Path(folder))
        report = edgeblend.compare(
            reference,
            others,
            DEMO.validation.with_suffix(""),
            annotations=DEMO.validation,
            limit=args.limit,
            threads=args.threads,
            max_drop=1.0,
            disagreements=0,
            progress=True,
        )
    text = markdown(report)
    print(text)
    if args.out is not None:
        args.out.write_text(text)


def make_bundles(folder: Path) -> list[Bundle]:
    """Convert and quantize; OpenVINO in float32 comes first."""
    bundles = []
    for target, precisions in PRECISIONS.items():
        made = [
            convert_demo(folder / f"{target}-{precision}", target=target, precision=precision)
            for precision in precisions
        ]
        int8 = edgeblend.quantize(made[0], folder / f"{target}-int8", calibration=DEMO.calibration)
        bundles += [*made, int8]
    return bundles


if __name__ == "__main__":
    main()
