"""Pasting one cut-out into a picture: its pose, its light, its shadow and its mask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from emoji import Cutout
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_SHORTEST = 20.0  # px, an object's longer side
_LONGEST_SHARE = 0.9  # of the frame's shorter side
_OPAQUE = 0.5


@dataclass(frozen=True, slots=True)
class Pose:
    """Where and how an object lies in the picture.

    Attributes:
        length: px, the longer side of the unrotated object.
        angle: degrees, counter-clockwise.
        stretch: width times this and height divided by it.
        mirrored: left and right exchanged.
        center: (x, y) of its centre in the picture.
    """

    length: float
    angle: float
    stretch: float
    mirrored: bool
    center: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Lighting:
    """The light of a whole picture.

    Attributes:
        shadow: how dark shadows are, 0..1; 0 for none.
        direction: (x, y), where shadows fall, as a share of an object's size.
        softness: standard deviation of a shadow's blur, as a share of an object's size.
    """

    shadow: float
    direction: tuple[float, float]
    softness: float


@dataclass(frozen=True, slots=True)
class Patch:
    """A posed object, cut to the frame.

    Attributes:
        pixels: (h, w, 4) float32 BGRA, premultiplied.
        mask: (h, w) bool, where it is opaque.
        top: row of the patch's first pixel in the picture.
        left: its first column.
        length: px, the longer side of the object.
    """

    pixels: Floats
    mask: NDArray[np.bool_]
    top: int
    left: int
    length: float

    @property
    def bottom(self) -> int:
        """The row after its last."""
        return self.top + int(self.mask.shape[0])

    @property
    def right(self) -> int:
        """The column after its last."""
        return self.left + int(self.mask.shape[1])


def random_pose(rng: np.random.Generator, size: tuple[int, int]) -> Pose:
    """Return a pose for a picture of ``size`` (height, width): all sizes alike, on a logarithmic scale."""
    length = math.exp(rng.uniform(math.log(_SHORTEST), math.log(_LONGEST_SHARE * min(size))))
    angle = rng.choice(
        [rng.uniform(-8, 8), rng.uniform(-30, 30), rng.uniform(-180, 180)], p=[0.4, 0.45, 0.15]
    )
    return Pose(length, float(angle), math.exp(rng.uniform(-0.12, 0.12)), bool(rng.random() < 0.5))


def random_lighting(rng: np.random.Generator) -> Lighting:
    """Return a light that casts shadows in two pictures of three."""
    shadow = rng.uniform(0.2, 0.65) if rng.random() < 0.66 else 0.0
    angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(0.02, 0.13)
    return Lighting(
        shadow, (distance * math.cos(angle), distance * math.sin(angle)), rng.uniform(0.015, 0.08)
    )


def full_area(cutout: Cutout, pose: Pose) -> float:
    """Return how many pixels the object covers if nothing cuts it off."""
    scale = _scale(cutout.levels[0], pose)
    return float((cutout.levels[0][..., 3] > _OPAQUE).sum()) * scale * scale


def warp(cutout: Cutout, pose: Pose, size: tuple[int, int]) -> Patch:
    """Return the object as it lies in a picture of ``size`` (height, width); 0 x 0 if outside."""
    scale = _scale(cutout.levels[0], pose)
    level = min(max(0, math.floor(-math.log2(scale))), len(cutout.levels) - 1)
    picture = cutout.levels[level]
    matrix = _matrix(picture.shape[:2], pose, _scale(picture, pose))
    corners = np.array([[0, 0], [picture.shape[1], 0], [0, picture.shape[0]], picture.shape[1::-1]])
    corners = corners @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, size[::-1])
    if right <= left or bottom <= top:
        return Patch(np.zeros((0, 0, 4), np.float32), np.zeros((0, 0), bool), 0, 0, pose.length)
    # Pixel i spans [i, i + 1): its centre, which OpenCV takes for i, lies at i + 0.5.
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ (0.5, 0.5) - (0.5, 0.5) - (left, top)
    pixels = np.asarray(cv2.warpAffine(picture, shifted, (int(right - left), int(bottom - top))), np.float32)
    return Patch(pixels, pixels[..., 3] > _OPAQUE, int(top), int(left), pose.length)


def paste(rng: np.random.Generator, canvas: Floats, patch: Patch, lighting: Lighting) -> None:
    """Draw the object and its shadow onto ``canvas`` (H, W, 3)."""
    if lighting.shadow:
        _draw_shadow(canvas, patch, lighting)
    pixels = _lit(rng, patch.pixels)
    region = canvas[patch.top : patch.bottom, patch.left : patch.right]
    region *= 1 - pixels[..., 3:]
    region += pixels[..., :3]


def _scale(picture: Floats, pose: Pose) -> float:
    return pose.length / float(max(picture.shape[:2]))


def _matrix(picture_size: tuple[int, ...], pose: Pose, scale: float) -> NDArray[np.float64]:
    """Return (2, 3): corner coordinates of the cut-out to those of the picture."""
    turn = math.radians(pose.angle)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    sign = -1 if pose.mirrored else 1
    linear = rotation @ np.diag([sign * scale * pose.stretch, scale / pose.stretch])
    height, width = picture_size
    offset = np.asarray(pose.center) - linear @ (width / 2, height / 2)
    return np.hstack([linear, offset[:, None]])


def _lit(rng: np.random.Generator, pixels: Floats) -> Floats:
    """Return the object in a light of its own: exposure, tint, saturation, at times a gradient."""
    grey = pixels[..., :3].mean(2, keepdims=True)
    color = grey + (pixels[..., :3] - grey) * np.float32(rng.uniform(0.65, 1.2))
    color *= (rng.uniform(0.7, 1.25) * rng.uniform(0.93, 1.07, 3)).astype(np.float32)
    if rng.random() < 0.4:
        rows = np.linspace(rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), len(pixels), dtype=np.float32)
        slope = rng.uniform(-0.25, 0.25)
        columns = np.linspace(-slope, slope, pixels.shape[1], dtype=np.float32)
        color *= 1 + rows[:, None, None] + columns[:, None]
    alpha = pixels[..., 3:]
    return np.concatenate([np.clip(color, 0, alpha), alpha], 2)


def _draw_shadow(canvas: Floats, patch: Patch, lighting: Lighting) -> None:
    sigma = max(lighting.softness * patch.length, 0.5)
    pad = math.ceil(2.5 * sigma)
    shadow = cv2.copyMakeBorder(patch.pixels[..., 3], pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    box = 2 * round(sigma * 0.87) + 1  # two box filters of this width spread as far as the Gaussian
    shadow = cv2.blur(cv2.blur(shadow, (box, box)), (box, box))
    top = patch.top - pad + round(lighting.direction[1] * patch.length)
    left = patch.left - pad + round(lighting.direction[0] * patch.length)
    height, width = canvas.shape[:2]
    first_row, first_column = max(-top, 0), max(-left, 0)
    visible = shadow[first_row : max(height - top, 0), first_column : max(width - left, 0)]
    top, left = top + first_row, left + first_column
    canvas[top : top + visible.shape[0], left : left + visible.shape[1]] *= (1 - lighting.shadow * visible)[
        ..., None
    ]
