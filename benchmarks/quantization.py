"""What quantization costs and gains: python benchmarks/quantization.py accuracy | speed | memory.

``accuracy``: the demo model quantized by both recipes and, as negative controls, calibrated on black frames,
on twenty copies of one picture, and on pictures with swapped channels; all compared with float32 in one run.
``--other FILE`` measures on another labelled set, too. It also quantizes twice and says whether the files are
the same. ``--only RECIPE`` is one recipe without all that.
``speed``: the graphs of the real-time config with stand-in weights at 512x736, float32, bfloat16
where the processor has it, and INT8, in turns. ``memory``: the peak of processes that quantize with more and
more pictures. Prints JSON; ``--out FILE`` writes it, too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from demo_bundles import DEMO, convert_demo
from numpy.typing import NDArray

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.calibration.evaluation.compare import compare
from edgeblend.calibration.evaluation.compare_report import CompareReport, ap_change
from edgeblend.calibration.sampling.sample import CalibrationSet, sample_frames
from edgeblend.errors import EngineError
from edgeblend.model.checkpoints.stand_in import write_stand_in_checkpoint
from edgeblend.runtime.backends.base import Session
from edgeblend.runtime.sessions import open_sessions
from edgeblend.runtime.tensors import basis_inputs

SPEED_CONFIG, SPEED_SIZE = "RT_R_50_4x_bn-head_syncbn_shtw", (512, 736)
RECIPES = ("int8", "int8-accurate")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("accuracy", "speed", "memory", "memory-child"))
    parser.add_argument("--other", type=Path, action="append", default=[], help="COCO file of another set")
    parser.add_argument("--only", choices=RECIPES, help="one recipe alone (accuracy)")
    parser.add_argument("--rounds", type=int, default=30, help="turns of each graph (speed)")
    parser.add_argument("--pictures", type=int, help="how many to calibrate with (memory-child)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure: dict[str, Callable[[Path], dict[str, Any]]] = {
            "accuracy": lambda place: accuracy(place, args.other, args.only),
            "speed": lambda place: speed(place, args.rounds),
            "memory": memory,
            "memory-child": lambda place: memory_child(place, args.pictures),
        }
        report = {"machine": machine(), **measure[args.what](Path(folder))}
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def machine() -> dict[str, Any]:
    """Return the processor, and what of it matters to INT8."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    flags = next((line.split(":")[1].split() for line in info.splitlines() if line.startswith("flags")), [])
    names = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    return {
        "processor": names[0] if names else "unknown",
        "cores": os.cpu_count(),
        "flags": [flag for flag in wanted if flag in flags],
    }


def accuracy(folder: Path, others: list[Path], only: str | None) -> dict[str, Any]:
    """Quantize by both recipes and by the negative controls, and compare them with float32."""
    recipes = RECIPES if only is None else (only,)
    bundle = convert_demo(folder / "float32")
    seconds: dict[str, float] = {}
    for recipe in recipes:
        start = time.perf_counter()
        edgeblend.quantize(bundle, folder / recipe, calibration=DEMO.calibration, recipe=recipe)
        seconds[recipe] = round(time.perf_counter() - start, 1)
    controls = {} if only else {"black": black(), "copies": copies(), "swapped": swapped()}
    for name, frames in controls.items():
        edgeblend.quantize(bundle, folder / name, calibration=frames)
    found: dict[str, Any] = {}
    for labels in (DEMO.validation, *others):
        paths = [folder / name for name in (*recipes, *controls)]
        report = compare(bundle, paths, labels.with_suffix(""), annotations=labels)
        found["shipped" if labels == DEMO.validation else labels.stem] = summary(report)
    result: dict[str, Any] = {"seconds": seconds, "sets": found}
    if only is None:
        edgeblend.quantize(bundle, folder / "again", calibration=DEMO.calibration)
        result["same_files_twice"] = digests(folder / "int8") == digests(folder / "again")
    return result


def summary(report: CompareReport) -> dict[str, Any]:
    """Return what matters of a comparison."""
    reference = report.reference.figures.accuracy
    assert reference is not None
    found: dict[str, Any] = {
        "pictures": report.num_images,
        "objects": report.num_objects,
        "float32": {"box_ap": round(reference.box.ap, 2), "mask_ap": round(reference.mask.ap, 2)},
        "exit_code_would_be_0": {},
    }
    for candidate in report.candidates:
        figures = candidate.figures
        assert figures is not None and figures.accuracy is not None and candidate.agreement is not None
        found["exit_code_would_be_0"][candidate.name] = candidate.status == "OK"
        found[candidate.name] = {
            "status": candidate.status,
            "box_change": round(ap_change(reference, figures.accuracy, "box"), 2),
            "mask_change": round(ap_change(reference, figures.accuracy, "mask"), 2),
            "agreement": round(candidate.agreement.agreement, 2),
            "frame_ms": round(figures.speed.frame_ms, 2),
            "megabytes": round(figures.bytes / 1e6, 1),
        }
    return found


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a bundle; the manifest's own is left to its content."""
    bundle = Bundle.load(folder)
    return {spec.name: spec.sha256 for spec in bundle.manifest.files} | {
        "manifest.json": (folder / "manifest.json").read_text()
    }


def black() -> CalibrationSet:
    """Return twenty frames without anything on them."""
    return sample_frames([np.zeros((320, 320, 3), np.uint8)] * 20, near_duplicates="keep")


def copies() -> CalibrationSet:
    """Return one picture twenty times."""
    return sample_frames([pictures()[0]] * 20, near_duplicates="keep")


def swapped() -> CalibrationSet:
    """Return the calibration pictures with blue and red exchanged."""
    return sample_frames([np.ascontiguousarray(picture[..., ::-1]) for picture in pictures()])


def pictures() -> list[NDArray[np.uint8]]:
    """Return the shipped calibration pictures."""
    return [edgeblend.read_image(path) for path in sorted(DEMO.calibration.glob("*.jpg"))]


def speed(folder: Path, rounds: int) -> dict[str, Any]:
    """Time the graphs of the real-time config by precision, in turns."""
    checkpoint = folder / "stand_in.pth"
    write_stand_in_checkpoint(SPEED_CONFIG, checkpoint)
    float32 = edgeblend.convert(checkpoint, folder / "float32", config=SPEED_CONFIG, input_size=SPEED_SIZE)
    int8 = edgeblend.quantize(float32, folder / "int8", calibration=DEMO.calibration, count=24)
    sessions: dict[str, dict[Any, Session]] = {"f32": open_sessions(float32), "int8": open_sessions(int8)}
    try:
        sessions["bf16"] = open_sessions(float32, precision="bf16")
    except EngineError as error:
        print(f"no bfloat16 here: {error}", file=sys.stderr)
    canvas = cv2.resize(pictures()[0], SPEED_SIZE[::-1])[None]
    timings: dict[str, list[float]] = {name: [] for name in sessions}
    for number in range(rounds + 2):
        for name, parts in sessions.items():
            start = time.perf_counter()
            outputs = parts["detector"].run({"image": canvas})
            parts["basis"].run(basis_inputs(float32.graph("detector"), float32.graph("basis"), outputs))
            if number >= 2:  # the first turns warm up
                timings[name].append((time.perf_counter() - start) * 1e3)
    medians = {name: statistics.median(values) for name, values in timings.items()}
    made = int8.manifest.quantization
    assert made is not None
    return {
        "config": SPEED_CONFIG,
        "canvas": SPEED_SIZE,
        "engine": sessions["f32"]["detector"].info.engine,
        "graphs_median_ms": {name: round(value, 1) for name, value in medians.items()},
        "int8_times_as_fast_as": {
            name: round(value / medians["int8"], 2) for name, value in medians.items() if name != "int8"
        },
        "layers_in_float": {part: list(names) for part, names in made.float_layers.items()},
        "rounds": rounds,
    }


def memory(folder: Path) -> dict[str, Any]:
    """Return the peak memory of quantizing with 20, 60 and 180 pictures, a process each."""
    peaks = {}
    for count in (20, 60, 180):
        command = [sys.executable, __file__, "memory-child", "--pictures", str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        peaks[count] = json.loads(done.stdout)["peak_mb"]
    return {"peak_mb_by_pictures": peaks}


def memory_child(folder: Path, count: int) -> dict[str, Any]:
    """Quantize the demo model at 512x512 with so many noise pictures, and return this process's peak."""
    bundle = convert_demo(folder / "float32", input_size=(512, 512))
    plain = edgeblend.Recipe(name="plain")
    edgeblend.quantize(bundle, folder / "int8", calibration=noise(count), recipe=plain, count=count)
    # Not ru_maxrss, which begins at the peak of the process that this one was started by.
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
    return {"peak_mb": int(status["VmHWM"].split()[0]) // 1024}


def noise(count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures unlike each other."""
    rng = np.random.default_rng(0)
    for picture in pictures()[: math.ceil(count / 2)]:
        large = cv2.resize(picture, (512, 512))
        yield large
        yield rng.permutation(large.reshape(16, 32, 512, 3)).reshape(512, 512, 3)


if __name__ == "__main__":
    main()
