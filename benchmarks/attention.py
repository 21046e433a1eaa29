"""Sparse against dense attention, side by side: python benchmarks/attention.py [--rounds N].

Converts the real-time config twice with stand-in weights, then times whole frames in turns, so
that whatever else the machine does hits both alike. Prints JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import edgeblend
from edgeblend.model.checkpoints.stand_in import write_stand_in_checkpoint

CONFIG = "RT_R_50_4x_bn-head_syncbn_shtw"
SIZE = (512, 736)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        segmenters = {mode: load(Path(folder), mode) for mode in ("sparse", "dense")}
        frame = edgeblend.read_image(str(files("edgeblend.converters") / "data" / "coffee.jpg"))
        timings: dict[str, list[float]] = {mode: [] for mode in segmenters}
        for segmenter in segmenters.values():
            segmenter(frame)
        for _ in range(rounds):
            for mode, segmenter in segmenters.items():
                start = time.perf_counter()
                instances = segmenter(frame)
                timings[mode].append((time.perf_counter() - start) * 1e3)
        info = segmenters["sparse"].info.parts["detector"]
    medians = {mode: statistics.median(values) for mode, values in timings.items()}
    report = {
        "config": CONFIG,
        "canvas": SIZE,
        "detections": len(instances),
        "engine": info.engine,
        "precision": info.precision,
        "threads": info.threads,
        "processor": info.device_name,
        "python": platform.python_version(),
        "rounds": rounds,
        "median_ms": {mode: round(value, 1) for mode, value in medians.items()},
        "dense_over_sparse": round(medians["dense"] / medians["sparse"], 3),
    }
    print(json.dumps(report, indent=2))


def load(folder: Path, attention: str) -> edgeblend.Segmenter:
    """Convert and open one of the two."""
    checkpoint = write_stand_in_checkpoint(CONFIG, folder / "stand_in.pth", seed=3)
    bundle = edgeblend.convert(
        checkpoint, folder / attention, config=CONFIG, input_size=SIZE, attention=attention
    )
    return edgeblend.Segmenter.load(bundle)


if __name__ == "__main__":
    main()
