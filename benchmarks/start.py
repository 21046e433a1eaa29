"""From a running interpreter to the first result: python benchmarks/start.py [--targets ...] [--out FILE].

The demo model, float32 and INT8, each start in a process of its own: without a cache, and with one that an
earlier start filled. Starts take turns. Prints JSON with medians in seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from demo_bundles import convert_and_quantize_demo, validation_pictures
from in_turns import machine

from edgeblend.calibration.measuring.fresh_start import FreshStart, measure_fresh_start
from edgeblend.runtime.backends.registry import backend_names

CACHES = ("cold", "warm")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--targets", nargs="+", choices=backend_names(), default=["openvino"])
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        starts = {target: measure(Path(folder), target, args.rounds) for target in args.targets}
    text = json.dumps({"machine": machine(), "rounds": args.rounds, "starts": starts}, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def measure(folder: Path, target: str, rounds: int) -> dict[str, Any]:
    """Start each bundle again and again, by turns."""
    bundles = convert_and_quantize_demo(folder, target)
    frames = validation_pictures(1)
    found: dict[tuple[str, str], list[FreshStart]] = {
        (name, cache): [] for name in bundles for cache in CACHES
    }
    for number in range(rounds + 1):
        for (name, cache), starts in found.items():
            kept = folder / f"{target}-{name}-cache" if cache == "warm" else None
            start = measure_fresh_start(bundles[name].path, frames, cache_dir=kept)
            if number:  # the first round fills the caches
                starts.append(start)
    return {
        f"{name}_{cache}": {
            "load_s": round(statistics.median(start.load_s for start in starts), 3),
            "first_result_s": round(statistics.median(start.first_result_s for start in starts), 3),
        }
        for (name, cache), starts in found.items()
    }


if __name__ == "__main__":
    main()
