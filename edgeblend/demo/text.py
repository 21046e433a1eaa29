"""The demo's results as lines for a terminal, and what to try next."""

from __future__ import annotations

from pathlib import Path

from edgeblend.demo.models import FLOAT
from edgeblend.demo.report import COMPARISON_PAGE, LISTING, PAGE, DemoReport, explanations
from edgeblend.report.compare.tables import accuracy_table, speed_table
from edgeblend.report.tables import Table
from edgeblend.terminal.printing import aligned, aligned_pairs, wrapped

_WIDTH = 100


def terminal_lines(report: DemoReport, out: Path) -> list[str]:
    """Return tables, explanations, files and next commands of a demo that lies in ``out``."""
    tables = [aligned([table.headings, *table.rows]) for table in main_tables(report)]
    files = [
        ("look at", f"{out / PAGE} (in a browser)"),
        ("comparison", str(out / COMPARISON_PAGE)),
        ("video", f"{out / report.video.path.name} ({report.video.codec.name})"),
        ("bundles", f"{out / FLOAT}, {out / report.bundle.path.name}"),
        ("list", str(out / LISTING)),
    ]
    commands = [line for what, command in next_commands(report, out) for line in (f"{what}:", f"  {command}")]
    notes = [line for text in explanations(report) for line in wrapped(text, _WIDTH)]
    blocks = (*tables, notes, aligned_pairs(files), commands)
    return [line for number, block in enumerate(blocks) for line in ([""] if number else []) + block]


def main_tables(report: DemoReport) -> tuple[Table, Table]:
    """Return the comparison's accuracy and speed."""
    return accuracy_table(report.comparison), speed_table(report.comparison)


def next_commands(report: DemoReport, out: Path) -> list[tuple[str, str]]:
    """Return what to try next, and the command for it."""
    bundle = out / report.bundle.path.name
    known = " (this model knows drawn objects; on photographs of real ones expect little)"
    return [
        (
            f"segment pictures of your own{known if report.shipped else ''}",
            f"edgeblend run {bundle} YOUR_PICTURES --out results",
        ),
        (
            "teach it your own objects; docs/guides/train.md says how",
            "edgeblend train --config Lite0_320 --dataset train.json --validation val.json --out my-model",
        ),
        (
            "quantize a model of your own; docs/guides/quantize.md says how to trust the result",
            "edgeblend quantize my-bundle --calibration YOUR_PICTURES --out my-int8",
        ),
        (
            "see what is in the bundle; docs/guides/embed.md has programs that use it, a camera loop for one",
            f"edgeblend inspect {bundle}",
        ),
    ]
