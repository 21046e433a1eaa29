"""Detections in network pixels to instances in frame pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.choices import check_choice
from edgeblend.results import Instances
from edgeblend.runtime.decode import Detections

PasteMode: TypeAlias = Literal["clipped", "unclipped"]

_NO_TIMINGS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Detections in frame pixels, without those of which nothing is inside the frame."""

    boxes: NDArray[np.float32]
    """(N, 4) xyxy, clipped to the frame."""
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    mask_probs: NDArray[np.float32]
    """(N, R, R)."""
    mask_boxes: NDArray[np.float32]
    """(N, 4) xyxy that masks are stretched over."""
    frame_size: tuple[int, int]
    """(height, width)."""

    def instances(
        self,
        *,
        class_names: tuple[str, ...],
        category_ids: tuple[int, ...] = (),
        timings_ms: Mapping[str, float] = _NO_TIMINGS,
    ) -> Instances:
        """Return them as instances, with what only the caller knows; see :class:`~edgeblend.Instances`."""
        return Instances(
            boxes=self.boxes,
            scores=self.scores,
            classes=self.classes,
            class_names=class_names,
            mask_probs=self.mask_probs,
            mask_boxes=self.mask_boxes,
            frame_size=self.frame_size,
            timings_ms=timings_ms,
            category_ids=category_ids,
        )


def place(
    detections: Detections,
    mask_probs: NDArray[np.float32],
    *,
    scale: tuple[float, float],
    frame_size: tuple[int, int],
    paste: PasteMode,
) -> Placed:
    """Scale boxes to the frame, clip them, and drop the detections of which nothing is left.

    Args:
        detections: N detections in network pixels.
        mask_probs: (N, R, R).
        scale: frame pixels per network pixel, (x, y).
        frame_size: (height, width).
        paste: the box that masks are stretched over. ``clipped`` reproduces published results, where a
            border object's mask is squeezed by the overhang; ``unclipped`` keeps the geometry and cuts it
            at the frame.

    Raises:
        InputError: ``paste`` is another word.
    """
    check_choice("paste", paste, get_args(PasteMode))
    scaled = detections.boxes * np.array([*scale, *scale], np.float32)
    height, width = frame_size
    clipped = np.minimum(np.maximum(scaled, 0), np.array([width, height, width, height], np.float32))
    with_area = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    # Nearly always all are kept; then nothing is copied.
    kept = slice(None) if with_area.all() else np.flatnonzero(with_area)
    boxes = clipped[kept]
    return Placed(
        boxes=boxes,
        scores=detections.scores[kept],
        classes=detections.classes[kept],
        mask_probs=mask_probs[kept],
        mask_boxes=boxes if paste == "clipped" else scaled[kept],
        frame_size=frame_size,
    )
