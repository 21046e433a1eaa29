"""``edgeblend run``: pictures in, overlays and COCO JSON out."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeblend.errors import InputError
from edgeblend.terminal.engine_options import add_engine_options
from edgeblend.terminal.notes import Notes
from edgeblend.terminal.output import show_above_bars, silence_opencv, tell
from edgeblend.terminal.values import parse_properties

_EPILOG = """\
The command writes OUT/instances.json (COCO: images, categories, annotations with scores) and
OUT/overlays/*.jpg. While it runs, it writes OUT/instances.jsonl, one line per image. After an
interruption or a power cut, --resume continues from there. An image that cannot be read is reported
and left out; the exit code is then 3.

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
        help="segment images",
        description="Segment an image, a folder of images or a glob with a bundle.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="folder or .zip made by `edgeblend convert`")
    parser.add_argument("pictures", nargs="+", help="image, folder, or quoted glob")
    parser.add_argument("--out", "-o", required=True, type=Path, help="folder to make for the results")
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--overwrite", action="store_true", help="replace the results of an earlier run in OUT"
    )
    again.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in OUT; bundle, images and options must be as before",
    )
    parser.add_argument("--no-overlays", action="store_true", help="write only the COCO JSON")
    parser.add_argument("--json", action="store_true", help="print a report as JSON")
    parser.add_argument("--score-threshold", type=float, metavar="S", help="lowest score of a detection")
    parser.add_argument(
        "--paste",
        choices=("clipped", "unclipped"),
        default="clipped",
        help="how to paste masks of objects over the border: as published (default), or geometrically right",
    )
    engine = add_engine_options(parser)
    engine.add_argument(
        "--backend", metavar="NAME", help="engine (default: the one that the bundle was made for)"
    )
    engine.add_argument("--cache-dir", type=Path, metavar="DIR", help="folder to keep compiled graphs in")
    engine.add_argument(
        "--property",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the engine, its provider or its delegate; can be given several times",
    )
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Segment the pictures and write what was found."""
    from edgeblend.bundle import Bundle
    from edgeblend.calibration.data.sources import look_for_images
    from edgeblend.runs.folder import check_out
    from edgeblend.runs.report import print_report
    from edgeblend.runs.results import RunResults
    from edgeblend.runs.segmenting import RunSettings, segment_pictures

    silence_opencv()
    found = [look_for_images(pattern) for pattern in args.pictures]
    paths = list(dict.fromkeys(path for each in found for path in each.paths))
    check_out(args.out, overwrite=args.overwrite, resume=args.resume)
    notes = Notes(note for each in found for note in each.notes)
    settings = RunSettings(
        backend=args.backend,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        cache_dir=args.cache_dir,
        properties=parse_properties(args.property),
        score_threshold=args.score_threshold,
        paste=args.paste,
        overlays=not args.no_overlays,
    )
    bundle = Bundle.load(args.bundle)
    header = settings.header(bundle, paths)
    results = RunResults(args.out, header, overlays=settings.overlays, overwrite=args.overwrite)
    show = (lambda line: None) if args.json else show_above_bars
    try:
        if args.resume:
            results.resume(paths)
            if position := results.position(len(paths)):
                tell(f"edgeblend: {position}")
        info = (
            results.end.info if results.end else segment_pictures(bundle, paths, results, settings, show=show)
        )
        if args.json:
            print_report(args.out, info, results, notes.lines)
    finally:
        results.close()
    if results.failures:
        tell(f"edgeblend: {results.failures} of {len(paths)} pictures failed")
        return InputError.exit_code
    return 0
