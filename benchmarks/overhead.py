"""What a frame costs beside its graphs: python benchmarks/overhead.py [--bundle BUNDLE] [--rounds N].

The real-time config at 512x736 with stand-in weights, or a bundle of it. The graphs run as always, but heads
are replaced by made-up ones (``synthetic_heads.py``), so that a frame has 0, 10 or 100 detections. Whole
frames (bytes in, 56x56 masks out) and the graphs alone take turns: one frame at a time, and as a stream
beside the graphs' own asynchronous throughput. Prints JSON.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from in_turns import machine, time_in_turns
from numpy.typing import NDArray
from planted import planted_segmenter
from synthetic_heads import CANVAS, synthetic_outputs

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.calibration.bench.graphs import prepare_frame
from edgeblend.calibration.bench.streaming import StreamTimer
from edgeblend.calibration.measuring.machine import usable_cores
from edgeblend.model.checkpoints.stand_in import write_stand_in_checkpoint
from edgeblend.runtime.sessions import open_sessions
from edgeblend.runtime.tensors import basis_inputs, detector_inputs

CONFIG = "RT_R_50_4x_bn-head_syncbn_shtw"
COUNTS = (0, 10, 100)
STREAM_TURNS = 6
GRAPHS = ("detector", "basis")
"""Of ``Instances.timings_ms``: the time spent in the engine."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help=f"a bundle of {CONFIG} at {CANVAS}; default: convert one")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--stream-seconds", type=float, default=240, help="for each number of detections")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.load(args.bundle) if args.bundle else convert(Path(folder))
        report = {
            "machine": machine(),
            "config": CONFIG,
            "canvas": CANVAS,
            **measure(bundle, args.rounds),
            "streaming": {count: stream(bundle, count, args.stream_seconds) for count in COUNTS if count},
        }
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def convert(folder: Path) -> Bundle:
    """Convert the config with stand-in weights."""
    checkpoint = write_stand_in_checkpoint(CONFIG, folder / "stand_in.pth", seed=3)
    return edgeblend.convert(checkpoint, folder / "bundle", config=CONFIG, input_size=CANVAS)


def measure(bundle: Bundle, rounds: int) -> dict[str, Any]:
    """Time whole frames and graphs in turns."""
    frame = photograph()
    sessions = open_sessions(bundle)
    segmenters = {count: planted_segmenter(bundle, sessions, synthetic_outputs(count)) for count in COUNTS}
    for count, segmenter in segmenters.items():
        assert len(segmenter(frame)) == count
    detector, basis = bundle.graph("detector"), bundle.graph("basis")
    canvas = detector_inputs(detector, frame[None])

    def graphs() -> None:
        outputs = sessions["detector"].run(canvas)
        sessions["basis"].run(basis_inputs(detector, basis, outputs))

    beside: dict[int, list[float]] = {count: [] for count in COUNTS}

    def whole(count: int) -> None:
        timings = segmenters[count](frame).timings_ms
        beside[count].append(sum(value for stage, value in timings.items() if stage not in GRAPHS))

    works = {f"whole_{count}": functools.partial(whole, count) for count in COUNTS}
    medians = time_in_turns(
        {"detector": lambda: sessions["detector"].run(canvas), "graphs": graphs, **works}, rounds
    )
    info = sessions["detector"].info
    return {
        "engine": info.engine,
        "precision": info.precision,
        "threads": info.threads,
        "rounds": rounds,
        "median_ms": medians,
        "whole_over_graphs": {
            count: round(medians[f"whole_{count}"] / medians["graphs"], 3) for count in COUNTS if count
        },
        "beside_the_graphs_median_ms": {
            count: round(statistics.median(values), 2) for count, values in beside.items()
        },
        "stages_ms": {
            count: {name: round(value, 2) for name, value in segmenter(frame).timings_ms.items()}
            for count, segmenter in segmenters.items()
        },
    }


def stream(bundle: Bundle, count: int, seconds: float) -> dict[str, Any]:
    """Time a stream and its graphs alone in turns; as many frames as cores are computed at a time."""
    streams = usable_cores()
    sessions = open_sessions(bundle, streams=streams)
    with planted_segmenter(bundle, sessions, synthetic_outputs(count), streams=streams) as segmenter:
        prepared = prepare_frame(segmenter, sessions, bundle.manifest, photograph())
        timer = StreamTimer(segmenter, sessions, [prepared], streams=streams)
        for _ in range(STREAM_TURNS):
            timer.take_turn(seconds / STREAM_TURNS)
        return {name: round(value, 3) for name, value in asdict(timer.streaming()).items()}


def photograph() -> NDArray[np.uint8]:
    """Return the picture that conversions are verified with, at the canvas's size."""
    picture = edgeblend.read_image(str(files("edgeblend.converters") / "data" / "coffee.jpg"))
    return np.asarray(cv2.resize(picture, CANVAS[::-1]), np.uint8)


if __name__ == "__main__":
    main()
