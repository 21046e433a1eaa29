"""Our resize against Pillow and OpenCV, side by side: python benchmarks/resize.py [--rounds N].

Prints JSON: medians in milliseconds, and the largest and mean difference from Pillow in grey levels.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from edgeblend.runtime.resize import resize_antialiased

SIZES = (((1080, 1920), (414, 736)), ((3000, 4000), (512, 683)), ((480, 640), (512, 683)))
Resize = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def with_pillow(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize with Pillow, one axis after the other as all of its versions did at first."""
    wide = Image.fromarray(image).resize((size[1], image.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(wide.resize(size[::-1], Image.Resampling.BILINEAR))


METHODS: dict[str, Resize] = {
    "ours": resize_antialiased,
    "pillow": with_pillow,
    "INTER_AREA": lambda image, size: cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA),
    "INTER_LINEAR": lambda image, size: cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(json.dumps([measure(source, target, rounds) for source, target in SIZES], indent=2))


def measure(source: tuple[int, int], target: tuple[int, int], rounds: int) -> dict[str, object]:
    """Time all methods in turns on one picture with detail at every scale."""
    image = picture(source)
    expected = with_pillow(image, target).astype(int)
    timings: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(rounds):
        for name, resize in METHODS.items():
            start = time.perf_counter()
            resize(image, target)
            timings[name].append((time.perf_counter() - start) * 1e3)
    differences = {name: np.abs(resize(image, target) - expected) for name, resize in METHODS.items()}
    return {
        "from": source,
        "to": target,
        "median_ms": {name: round(statistics.median(values), 1) for name, values in timings.items()},
        "difference": {
            name: {"largest": int(difference.max()), "mean": round(float(difference.mean()), 2)}
            for name, difference in differences.items()
        },
    }


def picture(size: tuple[int, int]) -> np.ndarray:
    """Return noise of many scales, (H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    total = np.zeros((*size, 3), np.float32)
    for divisor in (1, 4, 16, 64):
        small = rng.normal(0, 24, (size[0] // divisor + 1, size[1] // divisor + 1, 3)).astype(np.float32)
        total += cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(total + 128, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
