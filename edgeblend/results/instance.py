"""One instance of a frame, with plain attributes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.checks import check_number, check_probability
from edgeblend.masks import paste, polygons, rle


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One instance of a frame; iterating over :class:`Instances` gives them by descending score.

    All coordinates are frame pixels. The mask is computed anew each time it is asked for.
    """

    name: str
    """Name of the class."""
    class_id: int
    """Index of the class in the model, from 0."""
    category_id: int
    """Category id of the class in its data set."""
    score: float
    """Confidence, from 0 to 1."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1, clipped to the frame."""
    mask_probs: NDArray[np.float32] = field(repr=False)
    """(R, R) probabilities over ``mask_box``; read-only."""
    mask_box: NDArray[np.float32] = field(repr=False)
    """(4,) xyxy that the mask is pasted into: the clipped box, or the predicted one; read-only."""
    frame_size: tuple[int, int] = field(repr=False)
    """(height, width) of the frame."""

    @property
    def area(self) -> int:
        """Number of pixels of the mask, at a threshold of 0.5."""
        return int(np.count_nonzero(self._region(0.5)[2]))

    def mask(self, threshold: float = 0.5) -> NDArray[np.bool_]:
        """Return the mask on the whole frame, (H, W) bool: pixels whose probability reaches the threshold.

        Raises:
            InputError: the threshold is not from 0 to 1.
        """
        top, left, region = self._region(threshold)
        mask = np.zeros(self.frame_size, bool)
        mask[top : top + region.shape[0], left : left + region.shape[1]] = region
        return mask

    def polygon(self, threshold: float = 0.5, *, tolerance: float = 0.0) -> polygons.Polygon | None:
        """Return the outline of the mask's largest connected piece; None where the mask has no pixel.

        ``polygon.exterior`` is (P, 2) float32, x and y in frame pixels. Arguments are those of
        :meth:`polygons`.

        Raises:
            InputError: an argument is out of range.
        """
        pieces = self.polygons(threshold, tolerance=tolerance)
        return max(pieces, key=lambda piece: piece.area, default=None)

    def polygons(self, threshold: float = 0.5, *, tolerance: float = 0.0) -> list[polygons.Polygon]:
        """Return the outlines of all connected pieces of the mask, along pixel edges.

        Args:
            threshold: pixels at or above it belong to the mask.
            tolerance: how far, in pixels, a simplified outline may stray from the exact one.

        Raises:
            InputError: an argument is out of range.
        """
        check_number("tolerance", tolerance, lowest=0)
        top, left, region = self._region(threshold)
        return polygons.mask_to_polygons(region, top, left, tolerance=tolerance)

    def rle(self, threshold: float = 0.5) -> rle.Rle:
        """Return the mask in COCO's compressed run-length encoding.

        Raises:
            InputError: the threshold is not from 0 to 1.
        """
        top, left, region = self._region(threshold)
        return rle.encode_region(region, top, left, self.frame_size)

    def _region(self, threshold: float) -> tuple[int, int, NDArray[np.bool_]]:
        check_probability("threshold", threshold)
        return paste.paste_region(self.mask_probs, self.mask_box, self.frame_size, threshold=threshold)
