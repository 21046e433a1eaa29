"""``edgeblend sensitivity``: what quantizing each layer alone costs."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeblend.cli.quantize import add_calibration, show_step
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import aligned, as_text, print_json

if TYPE_CHECKING:
    from edgeblend.converters.quantize.probe import LayerSensitivity

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
        write_atomically(args.html, as_text(_page(layers, args)).encode("utf-8"), found=found)
    if args.json:
        report = {"bundle": as_text(args.bundle), "layers": [_record(layer) for layer in layers]}
        print_json({**report, "notes": notes.lines})
        return 0
    for line in aligned(_table(layers)):
        show(line)
    if args.html is not None:
        show(f"\nwritten: {as_text(args.html)}")
    return 0


def _record(layer: LayerSensitivity) -> dict[str, Any]:
    """Return a layer as JSON can hold it: null stands for no noise at all."""
    return {
        "graph": layer.graph,
        "layer": layer.layer,
        "sqnr_db": _finite(layer.sqnr_db),
        "outputs": {output.name: _finite(output.db) for output in layer.outputs},
        "drop": layer.drop,
    }


def _finite(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None


def _table(layers: Sequence[LayerSensitivity]) -> list[tuple[str, ...]]:
    labelled = any(layer.drop is not None for layer in layers)
    heading = ("layer", "graph", "SQNR, dB", "worst output", "its dB", *(["AP lost"] if labelled else []))
    return [heading, *(_row(layer, labelled=labelled) for layer in layers)]


def _row(layer: LayerSensitivity, *, labelled: bool) -> tuple[str, ...]:
    worst = min(layer.outputs, key=lambda output: output.db)
    lost = [f"{layer.drop:.2f}" if layer.drop is not None else "-"] if labelled else []
    return (layer.layer, layer.graph, _decibels(layer.sqnr_db), worst.name, _decibels(worst.db), *lost)


def _decibels(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "exact" if value > 0 else "noise alone"


def _page(layers: Sequence[LayerSensitivity], args: argparse.Namespace) -> str:
    from html import escape

    from edgeblend.report.charts import Mark, Row, bars
    from edgeblend.report.page import CHART_STYLE, document

    chart = bars(
        [
            Row(_short(layer.layer), (Mark(1, layer.sqnr_db, _decibels(layer.sqnr_db), layer.layer),))
            for layer in layers
        ],
        axis="SQNR of all outputs with this layer alone in INT8, dB (left is worse)",
    )
    head, *rows = _table(layers)
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    content = f"""\
<h1>Sensitivity of {escape(as_text(args.bundle.name))}</h1>
<p>Each layer was quantized alone, with all others in float, by the recipe {escape(as_text(args.recipe))}. The
noise that it adds to the graph's outputs is what the bars show, the worst first: 10 dB less is ten times the
noise. Bias correction is not part of it.</p>
<h2>Layer by layer</h2>
{chart}
<h2>Figures</h2>
<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>
{body}</tbody></table></div>
"""
    return document(f"Sensitivity of {as_text(args.bundle.name)}", content, style=CHART_STYLE)


def _short(name: str) -> str:
    """Return a layer's name without what all of them share."""
    for prefix in ("proposal_generator.", "backbone."):
        name = name.removeprefix(prefix)
    return name
