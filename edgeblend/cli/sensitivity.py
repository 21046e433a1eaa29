"""``edgeblend sensitivity``: what quantizing each layer alone costs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeblend.cli.quantize import add_calibration, show_step
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import aligned, as_text, print_json

_EPILOG = """\
A layer's SQNR is the power of the graph's outputs over that of the noise which this layer alone adds,
in decibels: the lower, the more it costs. Names are those of the checkpoint, as recipes take them.

example:
  edgeblend sensitivity r50 --calibration pictures/ --html layers.html
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sensitivity",
        parents=[common],
        help="show what quantizing each layer alone costs",
        description="Quantize each layer of a bundle alone, and measure the noise in the outputs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="folder or .zip made by `edgeblend convert`, in fp32")
    add_calibration(parser)
    parser.add_argument(
        "--compare-on", type=int, default=4, metavar="N", help="frames to compare outputs on (default: 4)"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the pictures of --annotations")
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO file: measure what AP loses, too, layer by layer",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with table and chart")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write and print."""
    import cv2

    from edgeblend.bundle import Bundle
    from edgeblend.calibration.sampling.sample import sample_frames
    from edgeblend.converters.quantize.recipe_files import load_recipe
    from edgeblend.converters.quantize.request import check_source
    from edgeblend.converters.quantize.sensitivity import measure_sensitivity
    from edgeblend.files.staging import check_file, write_atomically
    from edgeblend.report.sensitivity import as_record, layer_table, page
    from edgeblend.terminal.notes import Notes

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    found = None if args.html is None else check_file(args.html, overwrite=args.overwrite)
    bundle = Bundle.load(args.bundle)
    load_recipe(args.recipe, bundle.manifest.target)  # what is wrong is said before frames are chosen
    check_source(bundle)
    with sample_frames(
        args.calibration,
        count=args.frames,
        seed=args.seed,
        every=args.every,
        progress=sys.stderr.isatty(),
    ) as frames:
        notes = Notes()
        layers = measure_sensitivity(
            bundle,
            calibration=frames,
            recipe=args.recipe,
            frames=args.compare_on,
            images=args.images,
            annotations=args.annotations,
            progress=show_step,
            report=notes.add,
        )
        for note in frames.notes:  # not beside an error that has nothing to do with them
            notes.add(note)
    if args.html is not None:
        write_atomically(
            args.html,
            as_text(page(layers, bundle=as_text(args.bundle.name), recipe=as_text(args.recipe))).encode(
                "utf-8"
            ),
            found=found,
        )
    if args.json:
        report = {"bundle": as_text(args.bundle), "layers": [as_record(layer) for layer in layers]}
        print_json({**report, "notes": notes.lines})
        return 0
    for line in aligned([layer_table(layers).headings, *layer_table(layers).rows]):
        show(line)
    if args.html is not None:
        show(f"\nwritten: {as_text(args.html)}")
    return 0
