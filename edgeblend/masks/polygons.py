"""Masks as polygons on pixel edges: pixel (0, 0) covers [0, 1] x [0, 1], so areas are exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """One connected piece of a mask. Rings are closed implicitly: the last vertex joins the first."""

    exterior: NDArray[np.float32]
    """(P, 2) x, y in frame pixels."""
    holes: tuple[NDArray[np.float32], ...] = ()
    """Rings of (Q, 2) x, y each, one per hole."""

    @property
    def area(self) -> float:
        """Pixels covered, holes taken off."""
        return _ring_area(self.exterior) - sum(_ring_area(hole) for hole in self.holes)


def mask_to_polygons(
    mask: NDArray[np.bool_], top: int = 0, left: int = 0, *, tolerance: float = 0.0
) -> list[Polygon]:
    """Outline a mask along its pixels' edges.

    Filling the result by the even-odd rule gives the mask back exactly, unless simplified. Pixels that
    touch at a corner belong to one polygon.

    Args:
        mask: (hh, ww) bool, the whole frame or a region of it.
        top: row of the region's first pixel in the frame.
        left: its column.
        tolerance: how far, in pixels, a simplified outline may stray; rings that would collapse stay exact.

    Returns:
        One polygon a connected piece; none for an empty mask.
    """
    import cv2

    if not mask.any():
        return []
    # Contours run through pixel centres. Doubled, each pixel has a centre on either side of its middle,
    # and every contour point has one nearest pixel edge.
    doubled = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [_simplify(_edge_ring(np.asarray(c[:, 0], np.int32)), tolerance) + (left, top) for c in contours]
    parents = hierarchy[0, :, 3].tolist()
    holes: dict[int, list[NDArray[np.float32]]] = {index: [] for index, up in enumerate(parents) if up < 0}
    for ring, parent in zip(rings, parents, strict=True):
        if parent >= 0:
            holes[parent].append(ring.astype(np.float32))
    return [Polygon(rings[index].astype(np.float32), tuple(inner)) for index, inner in holes.items()]


def _edge_ring(contour: NDArray[np.int32]) -> NDArray[np.int32]:
    """Snap a contour (n, 2) of the doubled mask to pixel edges and keep its corners."""
    ring = (contour + (contour & 1)) >> 1
    arriving = ring - np.concatenate([ring[-1:], ring[:-1]])
    moved = arriving.any(axis=1)
    # Every step is along one axis, so two steps turn where their directions differ.
    arriving = np.sign(arriving[moved])
    turns = (arriving != np.concatenate([arriving[1:], arriving[:1]])).any(axis=1)
    corners: NDArray[np.int32] = ring[moved][turns]
    return corners


def _simplify(ring: NDArray[np.int32], tolerance: float) -> NDArray[np.int32]:
    if tolerance <= 0:
        return ring
    import cv2

    simplified = np.asarray(cv2.approxPolyDP(ring[:, None], tolerance, True)[:, 0], np.int32)
    # A small ring may collapse to a line.
    return simplified if len(simplified) >= 3 else ring


def _ring_area(ring: NDArray[np.float32]) -> float:
    x, y = ring.astype(np.float64).T
    return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2
