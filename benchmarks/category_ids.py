"""Whether results fit the user's own data set: python benchmarks/category_ids.py [--pictures N] [--epochs N].

Writes a data set as Roboflow exports it, with a root category 0 that is called like a class, and categories 3
and 7. Then it fine-tunes the demo model on it, converts, runs, and measures the results with pycocotools and
the data set's own file. The mask AP must be that of ``edgeblend compare`` to 1e-6. Every step is a command.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgeblend.demo.data import find_demo_data

DEMO = find_demo_data()
IDS = (3, 7)
LARGEST_DIFFERENCE = 1e-6


def main() -> int:
    """Train, convert, run, compare and print both APs; 1 if they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        labels = write_export(work / "_annotations.coco.json", args.pictures)
        run, bundle = work / "run", work / "bundle"
        pictures = DEMO.validation.with_suffix("")
        training = ["--weights", DEMO.checkpoint, "--epochs", args.epochs, "--batch-size", 8, "--workers", 0]
        edgeblend(
            "train",
            "--config",
            DEMO.config,
            "--dataset",
            labels,
            "--images",
            pictures,
            "--out",
            run,
            *training,
        )
        given = ["--config", run / "config.yaml", "--class-names", run / "classes.txt"]
        edgeblend("convert", run / "model.safetensors", *given, "--out", bundle)
        document = json.loads(labels.read_text())
        listed = [pictures / image["file_name"] for image in document["images"]]
        edgeblend("run", bundle, *listed, "--out", work / "results", "--no-overlays")
        report = edgeblend(
            "compare",
            bundle,
            bundle,
            "--images",
            pictures,
            "--annotations",
            labels,
            "--json",
            "--max-drop",
            100,
        )
        expected = json.loads(report)["reference"]["accuracy"]["mask"]["ap"]
        measured = own_mask_ap(labels, work / "results" / "instances.json")
    print(f"mask AP of compare {expected:.8f}, of pycocotools with the data set's own file {measured:.8f}")
    return int(not (expected > 1 and abs(measured - expected) <= LARGEST_DIFFERENCE))


def edgeblend(*arguments: object) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import sys; from edgeblend.cli import main; sys.exit(main())"]
        + [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def write_export(path: Path, count: int) -> Path:
    """Write the two most frequent classes of the demo's labels, on ``count`` pictures that show them."""
    document = json.loads(DEMO.validation.read_text())
    frequent = Counter(item["category_id"] for item in document["annotations"]).most_common(len(IDS))
    ids = dict(zip(sorted(category for category, _ in frequent), IDS, strict=True))
    objects = [item for item in document["annotations"] if item["category_id"] in ids]
    shown = sorted({item["image_id"] for item in objects})[:count]
    names = [category["name"] for category in document["categories"] if category["id"] in ids]
    root = names[0]
    export: dict[str, Any] = {
        "images": [image for image in document["images"] if image["id"] in shown],
        "annotations": [
            {**item, "category_id": ids[item["category_id"]]} for item in objects if item["image_id"] in shown
        ],
        "categories": [
            {"id": 0, "name": root, "supercategory": "none"},
            *({"id": i, "name": name, "supercategory": root} for i, name in zip(IDS, names, strict=True)),
        ],
    }
    path.write_text(json.dumps(export))
    return path


def own_mask_ap(labels: Path, instances: Path) -> float:
    """Return the mask AP of results by pycocotools, which goes by the ids alone."""
    truth, written = COCO(str(labels)), json.loads(instances.read_text())
    numbers = {image["file_name"]: image["id"] for image in truth.dataset["images"]}
    images = {image["id"]: numbers[Path(image["file_name"]).name] for image in written["images"]}
    found = [{**item, "image_id": images[item["image_id"]]} for item in written["annotations"]]
    evaluation = COCOeval(truth, truth.loadRes(found), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return 100 * float(evaluation.stats[0])


if __name__ == "__main__":
    sys.exit(main())
