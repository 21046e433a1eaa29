"""``edgeblend quantize``: a float bundle to an INT8 bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeblend.terminal.calibration_options import add_calibration_options
from edgeblend.terminal.notes import Notes, show_step
from edgeblend.terminal.output import show, silence_opencv
from edgeblend.terminal.printing import as_text, print_json

_EPILOG = """\
CALIBRATION is a folder, a quoted glob, a COCO file or a video of representative frames. --max-drop is
in AP points; without --annotations it is in points of agreement with the float bundle.

examples:
  edgeblend quantize r50 --calibration pictures/ --out r50-int8
  edgeblend quantize r50 --calibration street.mp4 --out r50-int8 \\
      --max-drop 0.5 --images val/ --annotations val.json
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "quantize",
        parents=[common],
        help="quantize a bundle to INT8 with calibration frames",
        description="Quantize a float bundle to INT8, and measure what that costs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="folder or .zip made by `edgeblend convert`, in fp32")
    parser.add_argument(
        "--out", "-o", required=True, type=Path, help="folder to make, or a name ending in .zip"
    )
    add_calibration_options(parser)
    search = parser.add_argument_group("search for layers that must stay in float")
    search.add_argument("--max-drop", type=float, metavar="X", help="largest drop that is allowed, in points")
    search.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="images to measure the drop on (default: the calibration frames)",
    )
    search.add_argument("--annotations", type=Path, metavar="FILE", help="COCO file of these images")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that exists")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Quantize and print what was measured."""
    from edgeblend.calibration.sampling.sample import sample_frames
    from edgeblend.converters.quantize.quantize import quantize
    from edgeblend.converters.quantize.request import check_request
    from edgeblend.report.quantization import quantized_lines

    silence_opencv()
    check_request(
        args.bundle,
        args.out,
        recipe=args.recipe,
        max_drop=args.max_drop,
        images=args.images,
        annotations=args.annotations,
        overwrite=args.overwrite,
    )
    shown = sys.stderr.isatty()
    with sample_frames(
        args.calibration, count=args.frames, seed=args.seed, every=args.every, progress=shown
    ) as frames:
        notes = Notes(frames.notes)
        bundle = quantize(
            args.bundle,
            args.out,
            calibration=frames,
            recipe=args.recipe,
            max_drop=args.max_drop,
            images=args.images,
            annotations=args.annotations,
            overwrite=args.overwrite,
            progress=show_step,
            report=notes.add,
        )
    made = bundle.manifest.quantization
    assert made is not None
    if args.json:
        size = sum(file.size for file in bundle.manifest.files)
        report = {"bundle": as_text(bundle.path), "bytes": size, "quantization": made}
        print_json({**report, "notes": notes.lines})
        return 0
    for line in quantized_lines(args.bundle, bundle, made, args.images):
        show(line)
    return 0
