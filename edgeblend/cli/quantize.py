"""``edgeblend quantize``: a float bundle to an INT8 bundle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgeblend.terminal.output import show, tell
from edgeblend.terminal.printing import as_text, human_bytes, print_json, print_rows

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.manifest import QuantizationSpec, SearchSpec

_EPILOG = """\
CALIBRATION is where frames come from that are like those to come: a folder, a quoted glob, a COCO
file, or a video. Without --annotations, --max-drop is in points of agreement with the float bundle.

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
    parser.add_argument("--out", "-o", required=True, type=Path, help="folder to make, or a name in .zip")
    add_calibration(parser)
    search = parser.add_argument_group("search for layers that must stay in float")
    search.add_argument("--max-drop", type=float, metavar="X", help="what may be lost, in points")
    search.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="pictures to measure it on (default: the calibration frames)",
    )
    search.add_argument("--annotations", type=Path, metavar="FILE", help="COCO file of these pictures")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is already there")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(command=run)


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """Add what says how to quantize, and on which frames."""
    parser.add_argument(
        "--calibration", "-c", required=True, metavar="CALIBRATION", help="where calibration frames come from"
    )
    parser.add_argument(
        "--recipe", default="int8", help="int8, int8-accurate, or a JSON file (default: int8)"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides which frames are taken (default: 0)")
    parser.add_argument(
        "--frames", type=int, default=300, metavar="N", help="how many frames to take (default: 300)"
    )
    parser.add_argument("--every", type=int, metavar="N", help="look at every N-th frame only")


def run(args: argparse.Namespace) -> int:
    """Quantize and print what was measured."""
    import cv2

    from edgeblend.calibration.sampling.sample import sample_frames
    from edgeblend.converters.quantize.quantize import quantize
    from edgeblend.converters.quantize.request import check_request
    from edgeblend.terminal.notes import Notes

    # What is wrong with a picture is said once, by us; this process is ours, so the level is, too.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
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
    else:
        _print(bundle, made, args)
    return 0


def show_step(step: str) -> None:
    """Say on a terminal what happens now."""
    if sys.stderr.isatty():
        tell(f"{step} ...")


def quantization_rows(made: QuantizationSpec) -> list[tuple[str, str]]:
    """Return what a manifest says of its quantization, as labels and values."""
    taken = made.calibration
    rows = [
        ("recipe", f"{made.recipe.name} ({made.recipe.toolkit})"),
        ("calibrated on", f"{taken.frames} frames of {as_text(taken.source)}, seed {taken.seed}"),
    ]
    for part, count in made.quantized_layers.items():
        kept = made.float_layers[part]
        in_float = f"; in float: {', '.join(kept)}" if kept else ""
        rows.append((f"{part} layers", f"{count} of {count + len(kept)} in INT8{in_float}"))
    noise = [(one.sqnr_db, one.tensor) for one in made.measured.tensors if one.sqnr_db is not None]
    if noise:
        worst = min(noise)
        rows.append(
            (
                "measured",
                f"agreement {made.measured.agreement:.1f} of 100 with the float bundle, outputs at least "
                f"{worst[0]:.1f} dB over the noise ({worst[1]}), on {made.measured.frames} of these frames",
            )
        )
    if made.search is not None:
        rows.append(("search", _search(made.search)))
    return rows


def _search(search: SearchSpec) -> str:
    unit = "AP" if search.metric == "average precision" else "of agreement"
    return (
        f"loses {search.drop:.2f} points {unit} on {search.pictures} pictures, {search.max_drop:g} allowed, "
        f"after {len(search.steps)} model{'s' if len(search.steps) != 1 else ''}"
    )


def _print(bundle: Bundle, made: QuantizationSpec, args: argparse.Namespace) -> None:
    size = human_bytes(sum(file.size for file in bundle.manifest.files))
    print_rows([("bundle", f"{as_text(bundle.path)} ({size})"), *quantization_rows(made)])
    if made.search is not None:
        show("\nwhat the search tried")
        print_rows(_steps(made.search), indent=2)
    images = args.images or "PICTURES"
    show(as_text(f"\nnext: edgeblend compare {args.bundle} {bundle.path} --images {images}"))


def _steps(search: SearchSpec) -> Iterator[tuple[str, str]]:
    """Yield what each model was, the first of each graph as the recipe says."""
    before = None
    for step in search.steps:
        returned = f"returned {', '.join(step.returned) or 'none'}"
        what = returned if step.graph == before else "as the recipe says"
        yield (step.graph, f"loses {step.drop:.2f} with {step.float_layers} layers in float: {what}")
        before = step.graph
