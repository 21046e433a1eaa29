"""What a bundle's manifest says of its quantization, as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgeblend.terminal.printing import aligned_pairs, as_text, human_bytes

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.manifest import QuantizationSpec, SearchSpec


def quantized_lines(source: Path, bundle: Bundle, made: QuantizationSpec, images: Path | None) -> list[str]:
    """Return what ``edgeblend quantize`` prints.

    Args:
        source: the float bundle.
        bundle: what was made of it.
        made: what its manifest says of that.
        images: pictures that it was measured on; None: none were given.
    """
    size = human_bytes(sum(file.size for file in bundle.manifest.files))
    lines = aligned_pairs([("bundle", f"{as_text(bundle.path)} ({size})"), *quantization_rows(made)])
    if made.search is not None:
        lines += ["", "what the search tried", *aligned_pairs(search_rows(made.search), indent=2)]
    next_step = f"edgeblend compare {source} {bundle.path} --images {images or 'PICTURES'}"
    return [*lines, "", as_text(f"next: {next_step}")]


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


def search_rows(search: SearchSpec) -> Iterator[tuple[str, str]]:
    """Yield a row for each model that the search tried; the first of each graph is as the recipe says."""
    before = None
    for step in search.steps:
        returned = f"returned {', '.join(step.returned) or 'none'}"
        what = returned if step.graph == before else "as the recipe says"
        yield (step.graph, f"loses {step.drop:.2f} with {step.float_layers} layers in float: {what}")
        before = step.graph
