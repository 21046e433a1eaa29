"""The exported graphs against torch, on a photograph; a conversion that is off is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.agreement import mask_iou_of_pairs, match_instances
from edgeblend.calibration.evaluation.recording import OutputKey, run_graphs
from edgeblend.converters.finite import refuse_not_finite
from edgeblend.converters.opened import OpenGraph
from edgeblend.errors import ConversionError
from edgeblend.manifest import Manifest, Part, TensorError, ToleranceSpec, VerificationSpec
from edgeblend.results import Instances
from edgeblend.runtime.attention import AttentionLayer
from edgeblend.runtime.backends.base import Session
from edgeblend.runtime.segmenter import Segmenter

TOLERANCES = {
    "fp32": ToleranceSpec(max_error=1e-3, box_iou=0.99, matched=0.98, mask_iou=0.99),
    # Half precision keeps 11 bits of every weight: stand-in networks of the published sizes measure
    # errors up to 0.02, the demo model 0.05, and move box edges by a fraction of a pixel, which small boxes
    # show.
    "fp16": ToleranceSpec(max_error=0.1, box_iou=0.9, matched=0.95, mask_iou=0.95),
    # Weights and activations of 8 bits, each rounded within its own range.
    "int8-dynamic": ToleranceSpec(max_error=2.0, box_iou=0.7, matched=0.8, mask_iou=0.8),
}
"""What is allowed, by how the weights are stored. A threshold may fall between two roundings, so
not every detection can be asked for."""


def verify(
    reference: Mapping[Part, OpenGraph],
    exported: Mapping[Part, OpenGraph],
    manifest: Manifest,
    *,
    attention: AttentionLayer | None,
    pictures: Sequence[NDArray[np.uint8]],
    tolerance: ToleranceSpec,
) -> VerificationSpec:
    """Compare exported graphs with torch: every output, then the detections and masks.

    Args:
        reference: the graphs that are right.
        exported: the graphs to judge, computing in float32.
        manifest: describes everything else of both.
        attention: the layer of a sparse bundle.
        pictures: (H, W, 3) uint8 BGR photographs.
        tolerance: what is allowed.

    Raises:
        ConversionError: an output is beyond tolerance, or detections or masks differ, or the reference gives
            values that are not finite.
    """
    worst: dict[OutputKey, float] = {}
    detections, matched, lowest_iou = 0, 0, 1.0
    for picture in pictures:
        outputs = _outputs(reference, manifest, picture)
        refuse_not_finite(outputs, "torch")
        found = _outputs(exported, manifest, picture)
        for key, tensor in outputs.items():
            worst[key] = _larger(worst.get(key, 0.0), relative_error(tensor, found[key]))
        if not np.isfinite(list(worst.values())).all():
            break  # no instances come of it
        expected = _segment(reference, manifest, attention, picture)
        actual = _segment(exported, manifest, attention, picture)
        pairs = match_instances(
            expected,
            actual,
            min_box_iou=tolerance.box_iou,
            max_score_difference=tolerance.max_error,
        )
        detections += max(len(expected), len(actual))
        matched += len(pairs)
        iou = mask_iou_of_pairs(expected, actual, pairs)
        lowest_iou = float(np.minimum(lowest_iou, iou.min(initial=1.0)))  # min() passes nan over
    names: dict[OutputKey, str] = {
        (part, spec.role, spec.level): spec.name
        for part, graph in exported.items()
        for spec in graph.spec.outputs
    }
    measured = VerificationSpec(
        tolerance=tolerance,
        pictures=tuple(picture.shape[:2] for picture in pictures),
        tensors=tuple(
            TensorError(graph=key[0], tensor=names[key], max_error=float(f"{error:.3g}"))
            for key, error in worst.items()
        ),
        detections=detections,
        matched=matched,
        lowest_mask_iou=round(lowest_iou, 6) if matched else None,
    )
    _refuse_beyond(measured)
    return measured


def relative_error(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Return the largest absolute difference over the standard deviation of ``expected``.

    A shape that differs or a value that is not finite is infinitely far away.
    """
    if expected.shape != actual.shape or not np.isfinite(actual).all():
        return float("inf")
    scale = float(expected.std(dtype=np.float64)) or 1.0  # a constant output: absolute difference
    error = float(np.abs(expected.astype(np.float64) - actual).max()) / scale
    return error if np.isfinite(error) else float("inf")


def _larger(one: float, other: float) -> float:
    """Return the larger number; nan is larger than all, where max() depends on the order."""
    return float(np.maximum(one, other))


def _outputs(
    graphs: Mapping[Part, OpenGraph], manifest: Manifest, picture: NDArray[np.uint8]
) -> dict[OutputKey, NDArray[np.float32]]:
    described, sessions = _parts(graphs, manifest)
    return run_graphs(sessions, described, picture)


def _segment(
    graphs: Mapping[Part, OpenGraph],
    manifest: Manifest,
    attention: AttentionLayer | None,
    picture: NDArray[np.uint8],
) -> Instances:
    described, sessions = _parts(graphs, manifest)
    return Segmenter(described, sessions, attention=attention)(picture)


def _parts(graphs: Mapping[Part, OpenGraph], manifest: Manifest) -> tuple[Manifest, dict[Part, Session]]:
    specs = {part: graph.spec for part, graph in graphs.items()}
    sessions = {part: graph.session for part, graph in graphs.items()}
    return msgspec.structs.replace(manifest, graphs=specs), sessions


def _refuse_beyond(measured: VerificationSpec) -> None:
    allowed = measured.tolerance
    problems = [
        f"{error.graph} output {error.tensor} is off by {error.max_error} standard deviations, "
        f"allowed {allowed.max_error}"
        for error in measured.tensors
        if not error.max_error <= allowed.max_error
    ]
    lost = measured.detections - measured.matched
    if not lost <= max(1, (1 - allowed.matched) * measured.detections):
        problems.append(f"only {measured.matched} of {measured.detections} detections agree")
    if measured.lowest_mask_iou is not None and not measured.lowest_mask_iou >= allowed.mask_iou:
        problems.append(f"a mask agrees only to IoU {measured.lowest_mask_iou}, expected {allowed.mask_iou}")
    if problems:
        raise ConversionError(
            f"the exported graphs differ from torch; nothing was written: {'; '.join(problems)}"
        )
