"""What quantizing each layer alone costs: as a table, as JSON and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeblend.report.charts import Mark, Row, bars
from edgeblend.report.html import document, section, table, title
from edgeblend.report.tables import Table
from edgeblend.terminal.printing import aligned, as_text

if TYPE_CHECKING:
    from edgeblend.converters.quantize.probe import LayerSensitivity


def as_document(layers: Sequence[LayerSensitivity], bundle: Path, notes: Sequence[str]) -> dict[str, Any]:
    """Return all layers as JSON can hold them, with the bundle's path and what was noted."""
    return {"bundle": as_text(bundle), "layers": [as_record(layer) for layer in layers], "notes": list(notes)}


def report_lines(layers: Sequence[LayerSensitivity], written: Iterable[Path] = ()) -> list[str]:
    """Return the table for a terminal, with the files that it was also written to."""
    shown = layer_table(layers)
    return [*aligned([shown.headings, *shown.rows]), *(f"\nwritten: {as_text(path)}" for path in written)]


def as_record(layer: LayerSensitivity) -> dict[str, Any]:
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


def layer_table(layers: Sequence[LayerSensitivity]) -> Table:
    """Return a row per layer: what it costs, and the output that suffers most."""
    labelled = any(layer.drop is not None for layer in layers)
    heading = ("layer", "graph", "SQNR, dB", "worst output", "its dB", *(["AP lost"] if labelled else []))
    return Table(heading, tuple(_row(layer, labelled=labelled) for layer in layers))


def _row(layer: LayerSensitivity, *, labelled: bool) -> tuple[str, ...]:
    worst = min(layer.outputs, key=lambda output: output.db)
    lost = [f"{layer.drop:.2f}" if layer.drop is not None else "-"] if labelled else []
    return (layer.layer, layer.graph, _decibels(layer.sqnr_db), worst.name, _decibels(worst.db), *lost)


def _decibels(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "exact" if value > 0 else "noise alone"


def page(layers: Sequence[LayerSensitivity], *, bundle: str, recipe: str) -> str:
    """Return the page as HTML.

    Args:
        layers: in the order that they are shown in.
        bundle: its name.
        recipe: by which each was quantized.
    """
    chart = bars(
        [
            Row(_short(layer.layer), (Mark(1, layer.sqnr_db, _decibels(layer.sqnr_db), layer.layer),))
            for layer in layers
        ],
        axis="SQNR of all outputs with this layer alone in INT8, dB (left is worse)",
    )
    name = f"Sensitivity of {as_text(bundle)}"
    introduction = (
        "<p>Each layer was quantized alone, with all others in float, by the recipe "
        f"{escape(as_text(recipe))}. The bars show the noise that the layer adds to the graph's outputs, the "
        "worst first. 10 dB less is ten times the noise. Bias correction is not part of it.</p>\n"
    )
    figures = section("Figures", table(layer_table(layers)))
    return document(name, title(name, lead=introduction) + section("Layer by layer", chart) + figures)


def _short(name: str) -> str:
    """Return a layer's name without what all of them share."""
    for prefix in ("proposal_generator.", "backbone."):
        name = name.removeprefix(prefix)
    return name
