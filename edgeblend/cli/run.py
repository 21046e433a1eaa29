"""``edgeblend run``: pictures in, overlays and COCO JSON out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeblend import __version__
from edgeblend.errors import InputError
from edgeblend.terminal.engine_options import add_engine_options
from edgeblend.terminal.output import show_above_bars, tell
from edgeblend.terminal.printing import as_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeblend.bundle import Bundle
    from edgeblend.results import Instances
    from edgeblend.runs.journal import Header
    from edgeblend.runs.results import RunResults
    from edgeblend.runtime.segmenter import Segmenter

_JPEG_LIMIT = 65500

_EPILOG = """\
writes OUT/instances.json (COCO: images, categories, annotations with scores), OUT/overlays/*.jpg, and
OUT/instances.jsonl as it goes: a line per picture, from which --resume goes on after an interruption or
a power cut. A picture that cannot be read is reported and left out; the exit code is then 3.

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
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="replace what an earlier run wrote into OUT")
    again.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in OUT; bundle, pictures and options are as before",
    )
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


def run(args: argparse.Namespace) -> int:
    """Segment the pictures and write what was found."""
    import cv2

    from edgeblend.bundle import Bundle
    from edgeblend.calibration.data.sources import look_for_images
    from edgeblend.runs.folder import check_out
    from edgeblend.runs.results import RunResults
    from edgeblend.terminal.notes import Notes

    # What is wrong with a picture is said once, by us; this process is ours, so the level is, too.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    found = [look_for_images(pattern) for pattern in args.pictures]
    paths = list(dict.fromkeys(path for each in found for path in each.paths))
    check_out(args.out, overwrite=args.overwrite, resume=args.resume)
    notes = Notes(note for each in found for note in each.notes)
    properties = _properties(args.property)
    bundle = Bundle.load(args.bundle)
    header = _header(bundle, paths, properties, args)
    results = RunResults(args.out, header, overlays=not args.no_overlays, overwrite=args.overwrite)
    try:
        if args.resume:
            results.resume(paths)
            _say_where(results, paths, args.out)
        info = results.end.info if results.end else _segment(bundle, paths, properties, results, args)
        if args.json:
            from edgeblend.runs.report import print_report

            print_report(args.out, info, results, notes.lines)
    finally:
        results.close()
    if results.failures:
        tell(f"edgeblend: {results.failures} of {len(paths)} pictures failed")
        return InputError.exit_code
    return 0


def _header(
    bundle: Bundle, paths: Sequence[Path], properties: dict[str, str], args: argparse.Namespace
) -> Header:
    """Return what results depend on. Threads and where compiled graphs are kept are not part of it."""
    import hashlib

    from edgeblend.manifest import encode_manifest
    from edgeblend.runs.journal import Header
    from edgeblend.runs.results import digest_names

    return Header(
        edgeblend=__version__,
        bundle=hashlib.sha256(encode_manifest(bundle.manifest)).hexdigest(),
        options={
            "backend": args.backend,
            "device": as_text(args.device),
            "precision": args.precision,
            "property": {as_text(name): as_text(value) for name, value in properties.items()},
            "score-threshold": args.score_threshold,
            "paste": args.paste,
            "overlays": not args.no_overlays,
        },
        pictures=len(paths),
        pictures_sha256=digest_names(paths),
    )


def _say_where(results: RunResults, paths: Sequence[Path], out: Path) -> None:
    if results.end is not None:
        tell(f"edgeblend: {as_text(out)}: this run is complete, all {len(paths)} pictures are done")
    elif results.done:
        tell(f"edgeblend: going on after {results.done} of {len(paths)} pictures")


def _segment(
    bundle: Bundle,
    paths: Sequence[Path],
    properties: dict[str, str],
    results: RunResults,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Segment what is left to do, and return what ran where."""
    from edgeblend.runtime.segmenter import Segmenter

    segmenter = Segmenter.load(
        bundle,
        backend=args.backend,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        cache_dir=args.cache_dir,
        properties=properties,
        score_threshold=args.score_threshold,
        paste=args.paste,
    )
    with segmenter:
        info = asdict(segmenter.info)
        info["bundle"] = as_text(info["bundle"])
        try:
            _segment_all(segmenter, paths, results, args)
        finally:
            # Also after an interruption: what was segmented is not lost.
            results.write_coco(_categories(segmenter))
    results.finish(info)
    return info


def _segment_all(
    segmenter: Segmenter, paths: Sequence[Path], results: RunResults, args: argparse.Namespace
) -> None:
    from tqdm import tqdm

    from edgeblend.runs.folder import overlay_names

    left = list(zip(paths, overlay_names(paths), strict=True))[results.done :]
    # disable=None: the bar shows on a terminal and is quiet in a pipe.
    hidden = None if len(paths) > 1 else True
    for path, name in tqdm(left, initial=results.done, total=len(paths), unit="picture", disable=hidden):
        try:
            instances, overlay = _segment_one(segmenter, path, overlay=not args.no_overlays)
        except InputError as error:
            results.add_failure(as_text(path), as_text(error))
            tell(f"edgeblend: error: {as_text(error)}")
            continue
        results.add_picture(
            as_text(path),
            instances.frame_size,
            instances.to_coco(results.next_image),
            timings_ms=dict(instances.timings_ms),
            overlay=None if overlay is None else (name, overlay),
        )
        if not args.json:
            total = sum(instances.timings_ms.values())
            show_above_bars(f"{as_text(path)}: {_summary(instances)} in {total:.0f} ms")


def _segment_one(segmenter: Segmenter, path: Path, *, overlay: bool) -> tuple[Instances, bytes | None]:
    """Return what is in a picture, and a JPEG that shows it if wanted."""
    from edgeblend.runtime.images import read_image

    frame = read_image(path)
    if not overlay:
        return segmenter(frame), None
    _check_overlay(path, frame)
    instances = segmenter(frame)
    return instances, _encode_overlay(frame, instances)


def _summary(instances: Instances) -> str:
    if len(instances) == 0:
        return "nothing detected"
    best = instances[:3]
    named = [f"{name} {score:.2f}" for name, score in zip(best.names, best.scores, strict=True)]
    listed = ", ".join(named + ["..."] * (len(instances) > len(best)))
    return f"{len(instances)} instance{'s' if len(instances) > 1 else ''} ({listed})"


def _check_overlay(path: Path, frame: NDArray[np.uint8]) -> None:
    height, width = frame.shape[:2]
    if max(height, width) > _JPEG_LIMIT:
        raise InputError(
            f"{path}: {width} x {height} is too large for a JPEG overlay, which ends at {_JPEG_LIMIT} pixels "
            "a side; use --no-overlays"
        )


def _encode_overlay(frame: NDArray[np.uint8], instances: Instances) -> bytes:
    import cv2

    from edgeblend.draw.overlay import draw

    _, data = cv2.imencode(".jpg", draw(frame, instances), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return data.tobytes()


def _categories(segmenter: Segmenter) -> list[dict[str, Any]]:
    return [
        {"id": category, "name": name}
        for category, name in zip(segmenter.category_ids, segmenter.class_names, strict=True)
    ]
