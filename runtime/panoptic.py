"""Instances and a semantic map to one panoptic map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeblend.errors import InputError
from edgeblend.spec import PanopticSpec


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a panoptic map."""

    id: int
    """The value of its pixels in the map; 0 is for pixels that belong to no segment."""
    is_thing: bool
    category_id: int
    """Class index of its branch: of the instances for a thing, of the semantic map for stuff."""
    area: int
    """Number of pixels."""
    score: float | None = None
    """Score of a thing; None for stuff."""
    instance: int | None = None
    """Index of the instance of a thing; None for stuff."""


def combine_panoptic(
    masks: NDArray[np.bool_],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    semantic: NDArray[np.integer],
    spec: PanopticSpec,
) -> tuple[NDArray[np.int32], list[Segment]]:
    """Give every pixel to at most one instance or stuff class.

    Instances come first, by descending score. One that is mostly taken already is left out, else it gets what
    is free. Each stuff class then takes the free pixels that are its own, if they are enough.

    Args:
        masks: (N, H, W) bool.
        scores: (N,).
        classes: (N,).
        semantic: (H, W) class indices of the semantic branch, where 0 means a thing.
        spec: thresholds.

    Returns:
        (H, W) int32 map of segment ids, and the segments, whose ids count from 1 in this order.

    Raises:
        InputError: masks and semantic map differ in size.
    """
    if masks.shape[1:] != semantic.shape:
        raise InputError(f"expected a semantic map of {masks.shape[1:]} as the masks, got {semantic.shape}")
    panoptic = np.zeros(semantic.shape, np.int32)
    segments = _place_things(panoptic, masks, scores, classes, spec)
    segments += _place_stuff(panoptic, semantic, spec, first_id=len(segments) + 1)
    return panoptic, segments


def _place_things(
    panoptic: NDArray[np.int32],
    masks: NDArray[np.bool_],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    spec: PanopticSpec,
) -> list[Segment]:
    free = np.ones(panoptic.shape, bool)
    segments: list[Segment] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if scores[index] < spec.instance_score_threshold:
            break
        area = int(np.count_nonzero(masks[index]))
        visible = masks[index] & free
        left = int(np.count_nonzero(visible))
        if area == 0 or (area - left) / area > spec.overlap_threshold:
            continue
        segments.append(
            Segment(
                id=len(segments) + 1,
                is_thing=True,
                category_id=int(classes[index]),
                area=left,
                score=float(scores[index]),
                instance=index,
            )
        )
        np.copyto(panoptic, segments[-1].id, where=visible)
        free ^= visible
    return segments


def _place_stuff(
    panoptic: NDArray[np.int32], semantic: NDArray[np.integer], spec: PanopticSpec, *, first_id: int
) -> list[Segment]:
    free = panoptic == 0
    areas = np.bincount(semantic[free])
    areas[:1] = 0  # class 0 means a thing
    present = np.flatnonzero(areas >= max(spec.stuff_area_limit, 1)).tolist()
    ids = np.zeros(max(len(areas), int(semantic.max(initial=0)) + 1), np.int32)
    ids[present] = np.arange(first_id, first_id + len(present))
    np.copyto(panoptic, ids[semantic], where=free)
    return [
        Segment(id=int(ids[label]), is_thing=False, category_id=label, area=int(areas[label]))
        for label in present
    ]
