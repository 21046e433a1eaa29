"""Memory after many frames: python benchmarks/soak.py [--frames N] [--out FILE].

The demo model in INT8, 50 pictures of various sizes over and over, masks taken as RLE: frame by frame, and
as a stream, each in a process of its own that says how much memory is resident after 100, 1000, ... frames.
As a control, a caller that keeps all results must be seen to grow. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from demo_bundles import convert_and_quantize_demo, validation_pictures
from in_turns import machine
from numpy.typing import NDArray

import edgeblend

PICTURES = 50
FIRST = 100
"""Frames after which memory is what later memory is compared with: each picture was seen twice."""
KEEPING = 1000
"""Frames of the control."""
HOW = ("calls", "stream", "keeping")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--target", default="openvino")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--child", nargs=2, metavar=("HOW", "BUNDLE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        how, bundle = args.child
        print(json.dumps(run(how, Path(bundle), args.frames)))
        return
    with tempfile.TemporaryDirectory() as folder:
        bundle = convert_and_quantize_demo(Path(folder), args.target)["int8"]
        found = {how: in_own_process(how, bundle.path, args.frames) for how in HOW}
    assert found["keeping"]["last_over_first"] > 1.02, "the control shows no growth: this cannot find any"
    report = {"machine": machine(), "target": args.target, "pictures": PICTURES, **found}
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def in_own_process(how: str, bundle: Path, frames: int) -> dict[str, Any]:
    """Run in a process that does nothing else."""
    frames = min(frames, KEEPING) if how == "keeping" else frames
    command = [sys.executable, __file__, "--frames", str(frames), "--child", how, str(bundle)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(how: str, bundle: Path, frames: int) -> dict[str, Any]:
    """Segment so many frames, and return the memory resident now and then."""
    pictures = validation_pictures(PICTURES)
    kept = []
    resident: dict[int, float] = {}
    start = time.perf_counter()
    with edgeblend.Segmenter.load(bundle, streams=2 if how == "stream" else 1) as segmenter:
        results = segment(segmenter, islice(cycle(pictures), frames), streaming=how == "stream")
        for number, instances in enumerate(results, 1):
            instances.rle()
            if how == "keeping":
                kept.append(instances)
            if number in {FIRST, 1000, frames // 2, frames}:
                resident[number] = resident_mb()
    return {
        "frames": frames,
        "frames_per_second": round(frames / (time.perf_counter() - start), 1),
        "resident_mb_after_frames": resident,
        "last_over_first": round(resident[frames] / resident[FIRST], 4),
    }


def segment(
    segmenter: edgeblend.Segmenter, frames: Iterable[NDArray[np.uint8]], *, streaming: bool
) -> Iterator[edgeblend.Instances]:
    """Yield the instances of each frame."""
    return segmenter.stream(frames) if streaming else map(segmenter, frames)


def resident_mb() -> float:
    """Return the memory of this process that is resident now."""
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
    return round(int(status["VmRSS"].split()[0]) / 1024, 1)


if __name__ == "__main__":
    main()
