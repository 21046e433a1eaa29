"""What is in a bundle, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeblend.report.quantization import quantization_rows
from edgeblend.terminal.printing import aligned_pairs, human_bytes

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.manifest import GraphSpec, Manifest


def bundle_lines(bundle: Bundle) -> list[str]:
    """Return what ``edgeblend inspect`` prints of a bundle that was read whole."""
    manifest = bundle.manifest
    lines = aligned_pairs(_rows(bundle, manifest))
    if manifest.quantization is not None:
        lines += ["", "quantized", *aligned_pairs(quantization_rows(manifest.quantization), indent=2)]
    for part, graph in manifest.graphs.items():
        lines += ["", *_graph_lines(part, graph)]
    return lines


def _rows(bundle: Bundle, manifest: Manifest) -> list[tuple[str, str]]:
    levels = (f"{level.name} (stride {level.stride})" for level in manifest.decode.levels)
    return [
        ("bundle", f"{bundle.path}, all files verified"),
        ("source", f"{manifest.source.checkpoint} as {manifest.source.config}"),
        ("checkpoint", f"sha256 {manifest.source.checkpoint_sha256}"),
        ("target", manifest.target),
        ("canvas", _canvas(manifest)),
        ("classes", _class_summary(manifest.things, manifest.stuff)),
        *_category_ids(manifest),
        *(("assumed", note) for note in manifest.notes),
        ("levels", ", ".join(levels)),
        ("attention", manifest.attention.mode),
        ("verified", _verified(manifest)),
        ("tools", ", ".join(f"{name} {found}" for name, found in manifest.tools.items())),
    ]


def _canvas(manifest: Manifest) -> str:
    spec = manifest.input
    if spec.dynamic:
        return f"follows the frame: short side {spec.min_size}, long side at most {spec.max_size}"
    return f"{spec.height} x {spec.width} (height x width)"


def _verified(manifest: Manifest) -> str:
    checked = manifest.verification
    worst = max((error.max_error for error in checked.tensors), default=0.0)
    return (
        f"{'in float, ' if manifest.quantization else ''}outputs within {worst:g} standard deviations of "
        f"torch (allowed {checked.tolerance.max_error:g}), {checked.matched} of {checked.detections} "
        "detections agree"
    )


def _class_summary(things: tuple[str, ...], stuff: tuple[str, ...]) -> str:
    shown = ", ".join(things[:5]) + (", ..." if len(things) > 5 else "")
    more = f", and {len(stuff)} of stuff" if stuff else ""
    return f"{len(things)} ({shown}){more}"


def _category_ids(manifest: Manifest) -> list[tuple[str, str]]:
    """Return a row with the category ids, unless they are 1 to the number of classes."""
    ids = manifest.category_ids
    if ids == tuple(range(1, len(ids) + 1)):
        return []
    shown = ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")
    return [("category ids", shown)]


def _graph_lines(part: str, graph: GraphSpec) -> list[str]:
    size = human_bytes(sum(file.size for file in graph.files))
    tensors = [(f"in   {spec.name}", f"{spec.layout} {spec.dtype}") for spec in graph.inputs]
    tensors += [(f"out  {spec.name}", f"{spec.layout} {spec.dtype}") for spec in graph.outputs]
    return [f"{part}: {graph.format}, weights {graph.precision}, {size}", *aligned_pairs(tensors, indent=2)]
