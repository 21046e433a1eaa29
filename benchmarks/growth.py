"""How time grows with what a frame holds: python benchmarks/growth.py [--out FILE.json] [--plot FILE.svg].

What comes after the graphs, against the number of detections (0 to 1000), the number of classes (1 to 1000)
and callers at the same time; preprocessing and masks at frame size, against the frame (0.3 to 8 megapixels);
whole frames of the demo model against the engine's threads.
For each prints medians in milliseconds and the exponent of growth over the last decade: 1 is linear, below is
better. ``--plot`` needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from demo_bundles import convert_demo, validation_pictures
from in_turns import machine, time_in_turns
from numpy.typing import NDArray
from synthetic_heads import BLEND, CANVAS, Synthetic, synthetic_outputs

import edgeblend
from edgeblend.calibration.measuring.machine import usable_cores
from edgeblend.results import Instances
from edgeblend.runtime.assemble import place
from edgeblend.runtime.attention import gather_attention
from edgeblend.runtime.blender import blend_boxes
from edgeblend.runtime.decode import Detections, decode
from edgeblend.runtime.preprocess import preprocess
from edgeblend.spec import InputSpec

COUNTS = (0, 1, 3, 10, 30, 100, 300, 1000)
CLASSES = (1, 3, 10, 30, 100, 300, 1000)
MEGAPIXELS = (0.3, 0.5, 1, 2, 4, 8)
CALLERS = (1, 2, 4)
FRAME_DETECTIONS = 20

Work = Callable[[], object]
Series = dict[str, list[float]]


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--plot", type=Path, help="figure to write, .svg or .png")
    args = parser.parse_args()
    report = {
        "machine": machine(),
        "canvas": CANVAS,
        "rounds": args.rounds,
        "growth": {
            "detections": grown(COUNTS, detection_stages, args.rounds),
            "classes (100 detections)": grown(CLASSES, class_stages, args.rounds),
            f"megapixels of the frame ({FRAME_DETECTIONS} detections)": grown(
                MEGAPIXELS, frame_stages, args.rounds
            ),
            "callers at the same time (100 detections)": grown(CALLERS, caller_stages, args.rounds),
            "threads of the engine": thread_growth(args.rounds),
        },
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")
    if args.plot:
        plot(report, args.plot)


def grown(sizes: Sequence[float], stages: Callable[[Any], Mapping[str, Work]], rounds: int) -> dict[str, Any]:
    """Return the median milliseconds of each stage at each size, and the exponents of their growth."""
    series: Series = {}
    for size in sizes:
        # One after the other: what one gives back to the system would be missed by the next.
        for name, work in stages(size).items():
            series.setdefault(name, []).append(time_in_turns({name: work}, rounds)[name])
    return {
        "sizes": list(sizes),
        "median_ms": series,
        "exponents": {name: exponent(sizes, values) for name, values in series.items()},
    }


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of log(time) over log(size), over the sizes from a tenth of the largest on."""
    chosen = [(size, value) for size, value in zip(sizes, values, strict=True) if size * 10 >= sizes[-1]]
    x, y = np.log(np.array(chosen)).T
    return round(float(np.polyfit(x, y, 1)[0]), 2)


def detection_stages(count: int) -> dict[str, Work]:
    """Return what is done for so many detections on a frame as large as the canvas."""
    outputs = synthetic_outputs(count)
    found = decode(outputs.levels, outputs.decode)
    assert len(found) == count, f"expected {count} detections, got {len(found)}"
    attention = gather_attention(outputs.features, found, outputs.layer, BLEND)
    instances = to_instances(found, mask_probs(outputs, found, attention), CANVAS)
    return {
        "decode": lambda: decode(outputs.levels, outputs.decode),
        "attention": lambda: gather_attention(outputs.features, found, outputs.layer, BLEND),
        "blend": lambda: mask_probs(outputs, found, attention),
        "all of them": lambda: post_process(outputs, CANVAS),
        "masks": instances.masks,
        "rle": instances.rle,
        "polygons": instances.polygons,
    }


def class_stages(num_classes: int) -> dict[str, Work]:
    """Return decoding of 100 detections of so many classes."""
    outputs = synthetic_outputs(100, num_classes=num_classes)
    assert len(decode(outputs.levels, outputs.decode)) == 100
    return {"decode": lambda: decode(outputs.levels, outputs.decode)}


def frame_stages(megapixels: float) -> dict[str, Work]:
    """Return what depends on the frame's size, for frames of 4:3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    frame = np.random.default_rng(0).integers(0, 256, (height, height * 4 // 3, 3), np.uint8)
    spec = InputSpec(height=CANVAS[0], width=CANVAS[1], min_size=0, max_size=0, pad_value=(104, 116, 124))
    instances = post_process(synthetic_outputs(FRAME_DETECTIONS), frame.shape[:2])
    return {
        "preprocess": lambda: preprocess(frame, spec),
        "masks": instances.masks,
        "rle": instances.rle,
        "polygons": instances.polygons,
    }


def caller_stages(callers: int) -> dict[str, Work]:
    """Return post-processing of 8 frames by so many threads."""
    outputs = synthetic_outputs(100)
    pool = ThreadPoolExecutor(callers)

    def work() -> None:
        list(pool.map(lambda _: post_process(outputs, CANVAS), range(8)))

    return {"8 frames": work}


def thread_growth(rounds: int) -> dict[str, Any]:
    """Return whole frames of the demo model with one thread of the engine up to one for each core."""
    picture = validation_pictures(1)[0]
    counts = [1 << power for power in range(usable_cores().bit_length())]
    with tempfile.TemporaryDirectory() as folder:
        bundle = convert_demo(Path(folder) / "openvino")

        def stages(threads: int) -> dict[str, Work]:
            segmenter = edgeblend.Segmenter.load(bundle, threads=threads)
            return {"whole frame": lambda: segmenter(picture)}

        return grown(counts, stages, rounds)


def post_process(outputs: Synthetic, frame_size: tuple[int, int]) -> Instances:
    """Return what the runtime makes of the graphs' outputs."""
    found = decode(outputs.levels, outputs.decode)
    attention = gather_attention(outputs.features, found, outputs.layer, BLEND)
    return to_instances(found, mask_probs(outputs, found, attention), frame_size)


def mask_probs(outputs: Synthetic, found: Detections, attention: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, R, R) probabilities."""
    return blend_boxes(
        outputs.bases,
        found.boxes,
        attention,
        spatial_scale=1 / BLEND.basis_stride,
        mask_size=BLEND.mask_size,
        interpolation=BLEND.attention_interpolation,
    )


def to_instances(found: Detections, probs: NDArray[np.float32], frame_size: tuple[int, int]) -> Instances:
    """Return instances on a frame that the canvas was made from."""
    height, width = frame_size
    scale = (width / CANVAS[1], height / CANVAS[0])
    placed = place(found, probs, scale=scale, frame_size=frame_size, paste="clipped")
    return placed.instances(class_names=tuple(f"class {index}" for index in range(80)))


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Draw time over size, both on logarithmic axes, with a line of linear growth."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "growth"  # so that the same figures give the same file
    figure, panels = plt.subplots(1, len(report["growth"]), figsize=(18, 3.8), layout="constrained")
    for axes, (what, part) in zip(panels, report["growth"].items(), strict=True):
        sizes = np.array(part["sizes"], float)
        drawn = sizes > 0
        for name, values in part["median_ms"].items():
            label = f"{name} ({part['exponents'][name]:.2f})"
            axes.loglog(sizes[drawn], np.array(values)[drawn], marker="o", markersize=3, label=label)
        longest = np.array(max(part["median_ms"].values(), key=max))[drawn]
        relative = sizes[drawn] / sizes[-1]
        if longest[-1] > longest[0]:
            shortest = min(min(np.array(values)[drawn]) for values in part["median_ms"].values())
            axes.set_ylim(10 ** np.floor(np.log10(shortest)), 10 ** np.ceil(np.log10(longest[-1])))
            axes.loglog(sizes[drawn], longest[-1] * relative, color="0.7", linestyle=":", label="linear")
        else:  # more threads are to take less time
            ideal = longest[0] * relative[0] / relative
            axes.plot(sizes[drawn], ideal, color="0.7", linestyle=":", label="linear")
            axes.set_yscale("linear")
            axes.set_ylim(bottom=0)
        axes.set(xlabel=what, ylabel="ms")
        axes.set_xticks(sizes[drawn], [f"{size:g}" for size in sizes[drawn]])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="x-small")
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
