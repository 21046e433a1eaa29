"""``edgeblend run``: pictures in, overlays and COCO JSON out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeblend.cli.engine_options import add_engine_options
from edgeblend.cli.output import tell
from edgeblend.cli.report import as_text, print_json
from edgeblend.errors import InputError, OutputError
from edgeblend.staging import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeblend.results import Instances
    from edgeblend.runtime.segmenter import Segmenter

INSTANCES_FILE = "instances.json"
_JPEG_LIMIT = 65500

_EPILOG = """\
writes OUT/instances.json (COCO: images, categories, annotations with scores) and
OUT/overlays/*.jpg. A picture that cannot be read is reported and left out; the exit code is then 3.

example:
  edgeblend run r50 pictures/ --out results
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        parents=[common],
        help="segment pictures",
        description="Segment a picture, a folder of pictures or a glob with a bundle.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="folder or .zip made by `edgeblend convert`")
    parser.add_argument("pictures", nargs="+", help="picture, folder, or quoted glob")
    parser.add_argument("--out", "-o", required=True, type=Path, help="folder to make for the results")
    parser.add_argument("--overwrite", action="store_true", help="write into a folder that has files in it")
    parser.add_argument("--no-overlays", action="store_true", help="write only the COCO JSON")
    parser.add_argument("--json", action="store_true", help="print a report as JSON")
    parser.add_argument("--score-threshold", type=float, metavar="S", help="report scores of at least this")
    parser.add_argument(
        "--paste",
        choices=("clipped", "unclipped"),
        default="clipped",
        help="masks of objects over the border: as published (default), or geometrically right",
    )
    engine = add_engine_options(parser)
    engine.add_argument("--backend", metavar="NAME", help="engine (default: the one that the bundle is for)")
    engine.add_argument("--cache-dir", type=Path, metavar="DIR", help="keep compiled graphs here")
    engine.add_argument(
        "--property",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="passed to the engine, its provider or its delegate as it is; can be given several times",
    )
    parser.set_defaults(command=run)


def _properties(given: Sequence[str]) -> dict[str, str]:
    """Return NAME=VALUE as a mapping."""
    properties = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise InputError(f"--property {item}: expected NAME=VALUE")
        properties[name] = value
    return properties


@dataclass(slots=True)
class _Results:
    """What has been segmented so far."""

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def run(args: argparse.Namespace) -> int:
    """Segment the pictures and write what was found."""
    import cv2

    from edgeblend.calibration.sources import find_images
    from edgeblend.runtime.segmenter import Segmenter

    # What is wrong with a picture is said once, by us; this process is ours, so the level is, too.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    paths = list(dict.fromkeys(path for pattern in args.pictures for path in find_images(pattern)))
    _check_folder(args.out, overwrite=args.overwrite)
    segmenter = Segmenter.load(
        args.bundle,
        backend=args.backend,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        cache_dir=args.cache_dir,
        properties=_properties(args.property),
        score_threshold=args.score_threshold,
        paste=args.paste,
    )
    results = _Results()
    with segmenter:
        _make_folder(args.out if args.no_overlays else args.out / "overlays")
        try:
            _segment_all(segmenter, paths, results, args)
        finally:
            # Also after an interruption: what was segmented is not lost.
            _write_coco(args.out, results, segmenter)
        if args.json:
            print_json(
                {
                    "out": str(args.out),
                    "info": asdict(segmenter.info),
                    "pictures": results.pictures,
                    "failures": results.failures,
                }
            )
    if results.failures:
        tell(f"edgeblend: {len(results.failures)} of {len(paths)} pictures failed")
        return InputError.exit_code
    return 0


def _segment_all(
    segmenter: Segmenter, paths: list[Path], results: _Results, args: argparse.Namespace
) -> None:
    from tqdm import tqdm

    from edgeblend.runtime.images import read_image

    names = _overlay_names(paths)
    # disable=None: the bar shows on a terminal and is quiet in a pipe.
    for path in tqdm(paths, unit="picture", disable=None if len(paths) > 1 else True):
        try:
            frame = read_image(path)
            if not args.no_overlays:
                _check_overlay(path, frame)
            instances = segmenter(frame)
        except InputError as error:
            results.failures.append(as_text(error))
            tell(f"edgeblend: error: {as_text(error)}")
            continue
        if not args.no_overlays:
            _write_overlay(args.out / "overlays" / names[path], frame, instances)
        _add_result(results, path, instances)
        if not args.json:
            total = sum(instances.timings_ms.values())
            tqdm.write(f"{as_text(path)}: {_summary(instances)} in {total:.0f} ms")  # above the bar


def _summary(instances: Instances) -> str:
    if len(instances) == 0:
        return "nothing detected"
    best = instances[:3]
    named = [f"{name} {score:.2f}" for name, score in zip(best.names, best.scores, strict=True)]
    listed = ", ".join(named + ["..."] * (len(instances) > len(best)))
    return f"{len(instances)} instance{'s' if len(instances) > 1 else ''} ({listed})"


def _add_result(results: _Results, path: Path, instances: Instances) -> None:
    image_id = len(results.images) + 1
    height, width = instances.frame_size
    results.images.append({"id": image_id, "file_name": as_text(path), "height": height, "width": width})
    for annotation in instances.to_coco(image_id):
        results.annotations.append({"id": len(results.annotations) + 1, "iscrowd": 0, **annotation})
    results.pictures.append(
        {"file": as_text(path), "instances": len(instances), "timings_ms": dict(instances.timings_ms)}
    )


def _overlay_names(paths: list[Path]) -> dict[Path, str]:
    """Return a file name for each picture's overlay; equal stems get a number."""
    names: dict[Path, str] = {}
    used: set[str] = set()
    for path in paths:
        name, number = f"{path.stem}.jpg", 1
        while name.lower() in used:
            number += 1
            name = f"{path.stem}-{number}.jpg"
        used.add(name.lower())
        names[path] = name
    return names


def _check_folder(out: Path, *, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; the results need a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise OutputError(f"{out}: already has files in it; choose another folder, or pass --overwrite")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error}") from error


def _check_overlay(path: Path, frame: NDArray[np.uint8]) -> None:
    height, width = frame.shape[:2]
    if max(height, width) > _JPEG_LIMIT:
        raise InputError(
            f"{path}: {width} x {height} is too large for a JPEG overlay, which ends at {_JPEG_LIMIT} pixels "
            "a side; use --no-overlays"
        )


def _write_overlay(path: Path, frame: NDArray[np.uint8], instances: Instances) -> None:
    import cv2

    from edgeblend.cli.overlay import draw

    _, data = cv2.imencode(".jpg", draw(frame, instances), [cv2.IMWRITE_JPEG_QUALITY, 92])
    # Not waited for: what a power cut takes is drawn again in a moment.
    write_atomically(path, data.tobytes(), durable=False)


def _write_coco(out: Path, results: _Results, segmenter: Segmenter) -> None:
    import msgspec

    categories = [
        {"id": category, "name": name}
        for category, name in zip(segmenter.category_ids, segmenter.class_names, strict=True)
    ]
    document = {"images": results.images, "categories": categories, "annotations": results.annotations}
    write_atomically(out / INSTANCES_FILE, msgspec.json.encode(document))
