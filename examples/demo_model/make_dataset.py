"""Makes the demo data set: make_dataset.py --out DIR [--train 12000] [--seed 0] [--only PART ...]."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from annotations import Json, annotation_of, write_annotations
from compose import Scene, compose
from emoji import ObjectLibrary, load_objects
from numpy.typing import NDArray
from photographs import Part, load_photographs
from tqdm import tqdm
from video import write_video

from edgeblend.errors import EdgeBlendError, OutputError

PARTS: tuple[Part, ...] = get_args(Part)
COUNTS: dict[Part, int] = {"val": 200, "calibration": 100}
_SIZES = ((320, 320), (240, 320), (320, 240), (300, 400))  # (height, width)
_SIZE_SHARES = {"train": (0.7, 0.1, 0.1, 0.1), "val": (0.25,) * 4, "calibration": (0.25,) * 4}


@dataclass(frozen=True, slots=True)
class Studio:
    """What a process needs to make pictures of one part: its materials and the seed."""

    seed: int
    part: Part
    library: ObjectLibrary
    photographs: list[NDArray[np.uint8]]


def make_picture(studio: Studio, index: int) -> tuple[Scene, int]:
    """Return picture ``index`` and its JPEG quality, a function of seed, part and index alone."""
    rng = np.random.default_rng([studio.seed, PARTS.index(studio.part), index])
    size = _SIZES[rng.choice(len(_SIZES), p=_SIZE_SHARES[studio.part])]
    quality = int(rng.integers(60, 96))
    return compose(rng, studio.library, studio.photographs, size), quality


def write_part(out: Path, part: Part, count: int, *, seed: int, cache: Path, workers: int) -> None:
    """Write the pictures ``out/part/*.jpg`` and ``out/part.json``."""
    (out / part).mkdir(parents=True, exist_ok=True)
    pictures = _pictures(out, part, count, seed, cache, workers)
    write_annotations(out / f"{part}.json", pictures, seed=seed)


_studio: Studio | None = None  # of a worker process


def _open_studio(seed: int, part: Part, cache: Path) -> None:
    global _studio
    cv2.setNumThreads(1)
    _studio = Studio(seed, part, load_objects(cache), load_photographs(part, cache))


def _write_picture(folder: Path, index: int) -> tuple[Json, list[Json]]:
    assert _studio is not None
    scene, quality = make_picture(_studio, index)
    path = folder / f"{index:06d}.jpg"
    if not cv2.imwrite(str(path), scene.image, [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise OutputError(f"expected to write {path}, which failed: is the folder writable, the disk full?")
    height, width = scene.image.shape[:2]
    image: Json = {"file_name": path.name, "width": width, "height": height}
    return image, [annotation_of(instance) for instance in scene.instances]


def _pictures(
    out: Path, part: Part, count: int, seed: int, cache: Path, workers: int
) -> Iterator[tuple[Json, list[Json]]]:
    load_objects(cache)  # fetches, before several processes would at once
    load_photographs(part, cache)
    folder = [out / part] * count
    os.environ["PYTHONSAFEPATH"] = "1"  # a new process does not look for modules in the current folder
    # A forked child would wait forever for the threads that OpenCV had in its parent.
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_open_studio, initargs=(seed, part, cache)
    )
    with pool:
        made = pool.map(_write_picture, folder, range(count), chunksize=32)
        yield from tqdm(made, total=count, desc=part, unit="picture")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--train", type=int, default=12000, help="number of training pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("demo_cache"), help="folder of fetched packages")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="parts to make")
    return parser.parse_args()


def main() -> int:
    """Run the command line; returns the exit status."""
    arguments = _arguments()
    seed, cache = arguments.seed, arguments.cache.resolve()
    try:
        for part in arguments.only:
            if part == "video":
                (photograph,) = load_photographs(part, cache)
                write_video(arguments.out, load_objects(cache), photograph, seed=seed)
            else:
                count = COUNTS.get(part, arguments.train)
                write_part(arguments.out, part, count, seed=seed, cache=cache, workers=arguments.workers)
    except EdgeBlendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
