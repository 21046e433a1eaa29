"""The exported graphs against torch, on photographs; a conversion that differs is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.data.frames import Frame
from edgeblend.calibration.evaluation.agreement import mask_iou_of_pairs, match_instances
from edgeblend.calibration.evaluation.recording import OutputKey
from edgeblend.converters.opened import OpenNetwork, refuse_not_finite
from edgeblend.errors import ConversionError
from edgeblend.manifest import TensorError, ToleranceSpec, VerificationSpec

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
not every detection has to match."""


def verify(
    reference: OpenNetwork, exported: OpenNetwork, images: Iterable[Frame], *, tolerance: ToleranceSpec
) -> VerificationSpec:
    """Compare exported graphs with torch: every output, then the detections and masks.

    Args:
        reference: the network that is right.
        exported: the network to judge, computing in float32.
        images: what both are run on, one at a time.
        tolerance: what is allowed.

    Raises:
        ConversionError: an output is beyond tolerance, or detections or masks differ, or the reference gives
            values that are not finite. The message names the image on which the difference is largest.
    """
    compared = _Comparison(tolerance)
    for image in images:
        compared.add(image, reference, exported)
        if not compared.finite:
            break  # such outputs give no instances
    names = exported.output_names()
    measured = VerificationSpec(
        tolerance=tolerance,
        pictures=tuple(compared.sizes),
        tensors=tuple(
            TensorError(graph=key[0], tensor=names[key], max_error=float(f"{worst.value:.3g}"))
            for key, worst in compared.errors.items()
        ),
        detections=compared.detections,
        matched=compared.matched,
        lowest_mask_iou=round(-compared.minus_mask_iou.value, 6) if compared.matched else None,
    )
    _refuse_beyond(measured, compared)
    return measured


@dataclass(frozen=True, slots=True)
class Worst:
    """The largest value so far, and the image that it was measured on."""

    value: float = 0.0
    image: str = ""

    def with_image(self, value: float, image: str) -> Worst:
        """Return the larger of the two; nan is larger than all numbers."""
        if self.image and not (value > self.value or np.isnan(value)):
            return self
        return Worst(value, image)


@dataclass(slots=True)
class _Comparison:
    """What the images so far have shown."""

    tolerance: ToleranceSpec
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """(height, width) of each image."""
    errors: dict[OutputKey, Worst] = field(default_factory=dict)
    """The relative error of each output."""
    detections: int = 0
    matched: int = 0
    lost: Worst = Worst()
    """Detections without a match."""
    minus_mask_iou: Worst = Worst()
    """The lowest IoU of matched masks, with its sign turned."""

    @property
    def finite(self) -> bool:
        """Whether every error is a number."""
        return bool(np.isfinite([worst.value for worst in self.errors.values()]).all())

    def add(self, image: Frame, reference: OpenNetwork, exported: OpenNetwork) -> None:
        """Compare both networks on one more image."""
        height, width = image.picture.shape[:2]
        self.sizes.append((height, width))
        outputs = reference.outputs(image.picture)
        refuse_not_finite(outputs, "torch", image.name)
        found = exported.outputs(image.picture)
        for key, tensor in outputs.items():
            error = relative_error(tensor, found[key])
            self.errors[key] = self.errors.get(key, Worst()).with_image(error, image.name)
        if self.finite:
            self._add_instances(image, reference, exported)

    def _add_instances(self, image: Frame, reference: OpenNetwork, exported: OpenNetwork) -> None:
        expected, actual = reference.segment(image.picture), exported.segment(image.picture)
        pairs = match_instances(
            expected,
            actual,
            min_box_iou=self.tolerance.box_iou,
            max_score_difference=self.tolerance.max_error,
        )
        count = max(len(expected), len(actual))
        self.detections += count
        self.matched += len(pairs)
        self.lost = self.lost.with_image(count - len(pairs), image.name)
        iou = mask_iou_of_pairs(expected, actual, pairs)
        self.minus_mask_iou = self.minus_mask_iou.with_image(-float(iou.min(initial=1.0)), image.name)


def relative_error(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Return the largest absolute difference over the standard deviation of ``expected``.

    A shape that differs or a value that is not finite is infinitely far away.
    """
    if expected.shape != actual.shape or not np.isfinite(actual).all():
        return float("inf")
    scale = float(expected.std(dtype=np.float64)) or 1.0  # a constant output: absolute difference
    error = float(np.abs(expected.astype(np.float64) - actual).max()) / scale
    return error if np.isfinite(error) else float("inf")


def _refuse_beyond(measured: VerificationSpec, compared: _Comparison) -> None:
    allowed = measured.tolerance
    problems = [
        f"{error.graph} output {error.tensor} is off by {error.max_error} standard deviations on "
        f"{worst.image}, allowed {allowed.max_error}"
        for error, worst in zip(measured.tensors, compared.errors.values(), strict=True)
        if not error.max_error <= allowed.max_error
    ]
    lost = measured.detections - measured.matched
    if not lost <= max(1, (1 - allowed.matched) * measured.detections):
        problems.append(
            f"only {measured.matched} of {measured.detections} detections agree, "
            f"fewest on {compared.lost.image}"
        )
    if measured.lowest_mask_iou is not None and not measured.lowest_mask_iou >= allowed.mask_iou:
        problems.append(
            f"a mask agrees only to IoU {measured.lowest_mask_iou} on {compared.minus_mask_iou.image}, "
            f"expected {allowed.mask_iou}"
        )
    if problems:
        raise ConversionError(
            f"the exported graphs differ from torch; nothing was written: {'; '.join(problems)}"
        )
