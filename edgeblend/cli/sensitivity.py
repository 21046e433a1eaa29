"""``edgeblend sensitivity``: what quantizing each layer alone costs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeblend.terminal.calibration_options import add_calibration_options
from edgeblend.terminal.notes import Notes, show_step
from edgeblend.terminal.output import show, silence_opencv
from edgeblend.terminal.printing import print_json
from edgeblend.terminal.report_files import ReportFiles

_EPILOG = """\
The SQNR of a layer is the power of the graph's outputs over the power of the noise that this layer
alone adds, in decibels. A low SQNR is a high cost. Layers have the names of the checkpoint, which
recipes take, too.

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
        help="measure what each layer costs when it alone is quantized",
        description="Quantize one layer of a bundle at a time, and measure the noise in the outputs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="folder or .zip made by `edgeblend convert`, in fp32")
    add_calibration_options(parser)
    parser.add_argument(
        "--compare-on",
        type=int,
        default=4,
        metavar="N",
        help="number of frames to compare outputs on (default: 4)",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the images of --annotations")
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO file of labelled images, to measure the loss of AP of every layer, too",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page with a table and a chart")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write and print."""
    from edgeblend.bundle import Bundle
    from edgeblend.calibration.sampling.sample import sample_frames
    from edgeblend.converters.quantize.recipe_files import load_recipe
    from edgeblend.converters.quantize.request import check_source
    from edgeblend.converters.quantize.sensitivity import measure_sensitivity
    from edgeblend.report.sensitivity import as_document, page, report_lines

    silence_opencv()
    files = ReportFiles({"--html": args.html}, overwrite=args.overwrite)
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
    failure = files.write({"--html": lambda: page(layers, bundle=args.bundle.name, recipe=args.recipe)})
    if args.json:
        print_json(as_document(layers, args.bundle, notes.lines))
    else:
        for line in report_lines(layers, files.written):
            show(line)
    if failure is not None:
        raise failure
    return 0
