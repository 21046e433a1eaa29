"""How alike two pictures are, as far as choosing among them goes: 8x8 cells, their colours and contrasts.

A picture is shrunk to 64x64 samples by averaging, whatever its size and shape. Of each of its 8x8 cells
four numbers are kept, in grey levels: the mean of blue, green and red, and the contrast, which is the
standard deviation of the samples' grey. Averages forgive noise, compression and a shift by a pixel; contrast
tells a texture from a plain surface of the same colour. Two cells differ by

    sqrt((dB^2 + dG^2 + dR^2 + dC^2) / 3)

grey levels, so that a cell that is k levels brighter differs by k, and two pictures in two ways:

- by their most different cell, which decides what is a near-duplicate. A fixed camera's pictures differ only
  where something has come or gone: an object on a fiftieth of the picture changes the mean over all cells
  no more than the next frame of a moving camera does, but one cell more than any of that frame's.
- by the quadratic mean over cells, which decides what is far from what has been chosen. The most
  different cell would not do: of two unlike pictures nearly always one cell differs by 100 levels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NEAR_DUPLICATE = 20.0
"""Grey levels in the most different cell; pictures no farther apart are taken for the same. On the demo
model's pictures, copies with JPEG quality 20 or noise of 15 levels come to 7 at most and consecutive frames
of a moving camera to 18, while of its 300 different pictures the two most alike are 38 apart."""

Descriptors = NDArray[np.float32]
"""(..., 64, 4): each cell's blue, green, red and contrast, in grey levels."""

CELLS = 64
_ROWS = 8  # of cells
_SAMPLES = 8  # of a cell, along either side


def describe(picture: NDArray[np.uint8]) -> Descriptors:
    """Return what is compared of an (H, W, 3) uint8 BGR picture, (64, 4)."""
    side = _ROWS * _SAMPLES
    samples = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    cells = samples.reshape(_ROWS, _SAMPLES, _ROWS, _SAMPLES, 3)
    colours = cells.mean(axis=(1, 3))  # (8, 8, 3)
    contrasts = cells.mean(axis=4).std(axis=(1, 3))  # (8, 8)
    return np.concatenate([colours, contrasts[..., None]], axis=2).reshape(CELLS, 4)


def differences(
    descriptors: Descriptors, descriptor: Descriptors
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return by how many grey levels each of N descriptors differs from one.

    Args:
        descriptors: (N, 64, 4).
        descriptor: (64, 4).

    Returns:
        The difference of the most different cell, and the quadratic mean over cells, both (N,).
    """
    difference = descriptors - descriptor
    squares = np.einsum("ncd,ncd->nc", difference, difference) / 3  # (N, 64)
    return np.sqrt(squares.max(axis=1)), np.sqrt(squares.mean(axis=1))
