"""Memory of ``edgeblend compare`` with labels: python benchmarks/compare_memory.py [--hold].

Writes small labelled pictures, which repeat as hard links, and runs the command on so many of them, with the
tests' bundle of a few layers at a threshold where it finds some seventy things per picture. Records the most
memory that the command and its own child processes had, and what reading the labels alone takes.
A model needs hours for 50,000 pictures, so for ``--evaluated`` made-up detections, 100 per picture, go
through the measurement of accuracy alone; what counts is the most memory beyond that of the labels.
``--hold`` is the control: all pictures in one block, as if results were held until the end; memory must grow.
Prints JSON; exits with 1 if memory grows by more than the labels take, or as a control does not.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from in_turns import machine

from edgeblend.bundle import Bundle
from edgeblend.calibration.data.coco import CocoDataset, CocoImage, read_coco
from edgeblend.calibration.evaluation import accuracy
from edgeblend.errors import AccuracyError
from edgeblend.manifest import MANIFEST_NAME, encode_manifest
from edgeblend.results import Instances

ALLOWED_MB = 10.0
"""Beyond what the labels take: a process that does the same again differs by some megabytes."""
SIZE = (64, 96)
DISTINCT = 100
OBJECTS = 7
"""Per picture, as in COCO's validation set."""
DETECTIONS = 100
_HOLD = "import sys; from edgeblend.calibration.evaluation import accuracy; accuracy.BLOCK = sys.maxsize; "
_RUN = "import sys; from edgeblend.cli import main; sys.exit(main(sys.argv[1:]))"


def main() -> int:
    """Measure, print, and say whether all is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, nargs="*", default=[1000, 5000], help="for the command")
    parser.add_argument("--evaluated", type=int, nargs="*", default=[1000, 50_000], help="for accuracy alone")
    parser.add_argument("--hold", action="store_true", help="hold everything until the end")
    parser.add_argument("--out", type=Path, help="JSON file to write; what else it has of these stays")
    parser.add_argument("--child", choices=["labels", "accuracy"], help=argparse.SUPPRESS)
    parser.add_argument("--labels", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args.child, args.labels, hold=args.hold)
    parts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = small_bundle(folder)
        if args.pictures:
            parts["command"] = command(folder, bundle, args.pictures, hold=args.hold)
        if args.evaluated:
            parts["accuracy_alone"] = accuracy_alone(folder, args.evaluated, hold=args.hold)
    report = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    report |= {"machine": machine(), "frame": SIZE, "objects_per_picture": OBJECTS}
    report.setdefault("held_until_the_end" if args.hold else "in_blocks", {}).update(parts)
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")
    return 0 if all(part["flat"] != args.hold for part in parts.values()) else 1


def command(folder: Path, bundle: Path, counts: list[int], *, hold: bool) -> dict[str, Any]:
    """Return the memory of whole commands."""
    series = []
    for count in counts:
        labels = labelled_pictures(folder, count)
        code = (_HOLD if hold else "") + _RUN
        given = ["compare", str(bundle), str(bundle), "--images", str(labels.with_suffix("")), "--json"]
        peak, children, seconds, output = watched(
            [sys.executable, "-c", code, *given, "--annotations", str(labels)]
        )
        compared = json.loads(output)
        series.append({"pictures": count, "peak_mb": peak, "children_peak_mb": children, "seconds": seconds})
        series[-1]["mask_ap"] = round(compared["reference"]["accuracy"]["mask"]["ap"], 6)
        alone = own_child("labels", labels, hold=False)
        series[-1] |= {"labels_mb": alone["labels_mb"], "reading_labels_peak_mb": alone["peak_mb"]}
    first, last = series[0], series[-1]
    grown = round(last["peak_mb"] - first["peak_mb"], 1)
    labels_grown = round(last["labels_mb"] - first["labels_mb"], 1)
    flat = last["peak_mb"] <= ALLOWED_MB + max(
        first["peak_mb"] + labels_grown, last["reading_labels_peak_mb"]
    )
    return {"series": series, "grown_mb": grown, "labels_grown_mb": labels_grown, "flat": flat}


def accuracy_alone(folder: Path, counts: list[int], *, hold: bool) -> dict[str, Any]:
    """Return the memory of accuracy alone."""
    series = []
    for count in counts:
        measured = own_child("accuracy", labelled_pictures(folder, count), hold=hold)
        series.append({"pictures": count, "detections": count * DETECTIONS, **measured})
    beyond = [round(item["peak_mb"] - item["labels_mb"], 1) for item in series]
    flat = beyond[-1] <= beyond[0] + ALLOWED_MB
    return {"series": series, "beyond_labels_mb": beyond, "flat": flat}


def small_bundle(folder: Path) -> Path:
    """Return the tests' bundle, whose random weights find some seventy things at this threshold."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from small_bundle import write_small_bundle

    bundle = write_small_bundle(folder / "small")
    decode = msgspec.structs.replace(bundle.manifest.decode, score_threshold=0.01)
    manifest = msgspec.structs.replace(bundle.manifest, decode=decode)
    (bundle.path / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return bundle.path


def labelled_pictures(folder: Path, count: int) -> Path:
    """Return a COCO file of so many pictures, which lie in the folder that is called like it."""
    labels = folder / f"{count}.json"
    if labels.exists():
        return labels
    pictures = labels.with_suffix("")
    pictures.mkdir()
    names = Bundle.load(folder / "small").manifest.things
    random = np.random.default_rng(0)
    objects = [list(made_up_objects(random, len(names))) for _ in range(DISTINCT)]
    images, annotations = [], []
    for number in range(count):
        file = pictures / f"{number:06}.jpg"
        if number < DISTINCT:
            coarse = random.integers(0, 255, (4, 6, 3), np.uint8)
            cv2.imwrite(str(file), cv2.resize(coarse, SIZE[::-1]))
        else:
            os.link(pictures / f"{number % DISTINCT:06}.jpg", file)
        images.append({"id": number + 1, "file_name": file.name, "height": SIZE[0], "width": SIZE[1]})
        for item in objects[number % DISTINCT]:
            annotations.append({"id": len(annotations) + 1, "image_id": number + 1, "iscrowd": 0, **item})
    categories = [{"id": index, "name": name} for index, name in enumerate(names, 1)]
    labels.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return labels


def made_up_objects(random: np.random.Generator, classes: int) -> Iterator[dict[str, Any]]:
    """Yield the objects of a picture: polygons of 24 points."""
    for _ in range(OBJECTS):
        radius, angles = random.uniform(4, 14), np.linspace(0, 2 * np.pi, 24, endpoint=False)
        centre = random.uniform(14, SIZE[0] - 14, 2)
        points = centre + radius * random.uniform(0.8, 1, (24, 1)) * np.stack(
            [np.cos(angles), np.sin(angles)], 1
        )
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        yield {
            "category_id": int(random.integers(1, classes + 1)),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": float(0.8 * np.pi * radius**2),
            "segmentation": [points.ravel().round(2).tolist()],
        }


def child(part: str, labels: Path, *, hold: bool) -> int:
    """Read the labels, measure made-up detections if wanted, and print the most memory that took."""
    dataset = read_coco(labels)
    result = {"peak_mb": peak_mb(os.getpid())}
    if part == "accuracy":
        accuracy.BLOCK = sys.maxsize if hold else accuracy.BLOCK
        measure(dataset.images[:1], dataset)  # loads what is needed
    result["labels_mb"] = memory_now()
    if part == "accuracy":
        start = time.perf_counter()
        result["mask_ap"] = round(measure(dataset.images, dataset).mask.ap, 6)
        result["seconds"] = round(time.perf_counter() - start, 1)
        result["peak_mb"] = peak_mb(os.getpid())
    print(json.dumps(result))
    return 0


def measure(images: Sequence[CocoImage], dataset: CocoDataset) -> accuracy.Accuracy:
    """Return the accuracy of made-up detections, which repeat as the pictures do."""
    names = dataset.class_names
    found = [made_up_detections(image, names, number) for number, image in enumerate(images[:DISTINCT])]
    tally = accuracy.AccuracyTally(dataset, boundary=True)
    for number, image in enumerate(images):
        tally.add(image, found[number % DISTINCT])
    return tally.accuracy()


def memory_now() -> float:
    """Return the memory of this process in MB, and count the most memory from now on."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what reading freed would be used again without being seen
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mb(os.getpid())


def made_up_detections(image: CocoImage, names: tuple[str, ...], seed: int) -> Instances:
    """Return detections near the objects of a picture; some of their scores are equal."""
    random = np.random.default_rng(seed)
    near = [image.objects[place] for place in random.integers(0, len(image.objects), DETECTIONS)]
    boxes = np.stack([item.box for item in near]) + random.normal(0, 3, (DETECTIONS, 4)).astype(np.float32)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
    return Instances(
        boxes=boxes,
        scores=random.random(DETECTIONS).round(2).astype(np.float32),
        classes=np.array([item.class_index for item in near], np.int64),
        class_names=names,
        mask_probs=random.uniform(0.3, 1, (DETECTIONS, 14, 14)).astype(np.float32),
        mask_boxes=boxes,
        frame_size=(image.height, image.width),
    )


def own_child(part: str, labels: Path, *, hold: bool) -> dict[str, Any]:
    """Return what this file prints of a part in a process of its own."""
    given = ["--child", part, "--labels", str(labels), *(["--hold"] if hold else [])]
    done = subprocess.run([sys.executable, __file__, *given], stdout=subprocess.PIPE, check=True)
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def watched(given: list[str]) -> tuple[float, float, float, bytes]:
    """Run a command; returns the most memory in MB of it and of any child of it, seconds and its output."""
    start, most, ended = time.perf_counter(), {"own": 0.0, "children": 0.0}, threading.Event()
    with subprocess.Popen(given, stdout=subprocess.PIPE) as process:

        def watch() -> None:
            while not ended.wait(0.05):
                most["own"] = max(most["own"], peak_mb(process.pid))
                for pid in children_of(process.pid):
                    most["children"] = max(most["children"], peak_mb(pid))

        thread = threading.Thread(target=watch)
        thread.start()
        output, _ = process.communicate()
        ended.set()
        thread.join()
    if process.returncode not in (0, AccuracyError.exit_code):
        raise SystemExit(f"the command ended with {process.returncode}")
    return most["own"], most["children"], round(time.perf_counter() - start, 1), output


def peak_mb(pid: int) -> float:
    """Return the most memory that a process had so far; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024, 1)
    except (OSError, StopIteration):
        return 0.0


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that are running."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        started = [child for task in tasks for child in (task / "children").read_text().split()]
        # Between its fork and its own program a child shows the memory of its parent.
        own = Path(f"/proc/{pid}/cmdline").read_bytes()
        return [int(child) for child in started if Path(f"/proc/{child}/cmdline").read_bytes() != own]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
