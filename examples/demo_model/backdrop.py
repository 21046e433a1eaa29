"""The picture around the objects: a cut of a photograph beneath them, the camera's traces above."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_LUMA = np.array([0.114, 0.587, 0.299])  # of BGR, ITU-R BT.601


def random_backdrop(
    rng: np.random.Generator, photographs: Sequence[NDArray[np.uint8]], size: tuple[int, int]
) -> Floats:
    """Return a cut of one of the photographs (H, W, 3), in other colours and at times out of focus."""
    photograph = photographs[int(rng.integers(len(photographs)))]
    height, width = size
    share = rng.uniform(0.3, 1.0) * min(photograph.shape[0] / height, photograph.shape[1] / width)
    cut_height, cut_width = round(share * height), round(share * width)
    top = int(rng.integers(photograph.shape[0] - cut_height + 1))
    left = int(rng.integers(photograph.shape[1] - cut_width + 1))
    cut = photograph[top : top + cut_height, left : left + cut_width]
    interpolation = cv2.INTER_AREA if share > 1 else cv2.INTER_LINEAR
    canvas = cv2.resize(cut, (width, height), interpolation=interpolation)
    if rng.random() < 0.5:
        canvas = canvas[:, ::-1]
    if rng.random() < 0.12:
        canvas = canvas[::-1]
    canvas = _recolor(rng, canvas.astype(np.float32) / np.float32(255))
    if rng.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.5, 3.0))
    return np.ascontiguousarray(canvas, np.float32)


def finish(rng: np.random.Generator, canvas: Floats) -> NDArray[np.uint8]:
    """Return the picture as a camera would take it: exposure, white balance, blur and noise."""
    gain = rng.uniform(0.75, 1.2) * _temperature(rng, 0.1)
    picture = canvas * gain.astype(np.float32) + np.float32(rng.uniform(-0.05, 0.05))
    picture = np.clip(picture, 0, 1) ** np.float32(math.exp(rng.uniform(-0.35, 0.35)))
    picture = _blur(rng, picture)
    if rng.random() < 0.5:
        sigma = np.float32(rng.uniform(0.004, 0.04))
        picture = picture + sigma * rng.standard_normal(picture.shape, np.float32)
    return np.asarray(np.clip(picture * 255 + 0.5, 0, 255), np.uint8)


def _recolor(rng: np.random.Generator, canvas: Floats) -> Floats:
    """Turn hues by up to 20 degrees, change saturation, exposure and white balance."""
    saturation = 0.0 if rng.random() < 0.08 else rng.uniform(0.4, 1.25)
    hue = math.radians(rng.uniform(-20, 20))
    grey = np.ones((3, 1)) @ _LUMA[None]
    # Rodrigues' rotation about the grey axis; what it turns is the colour without its luma.
    axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = np.eye(3) * math.cos(hue) + axis * math.sin(hue) + (1 - math.cos(hue)) / 3
    matrix = grey + saturation * turn @ (np.eye(3) - grey)
    matrix = (rng.uniform(0.6, 1.25) * _temperature(rng, 0.12))[:, None] * matrix
    return np.clip(np.asarray(cv2.transform(canvas, matrix.astype(np.float32)), np.float32), 0, 1)


def _temperature(rng: np.random.Generator, spread: float) -> NDArray[np.float64]:
    """Return gains of blue, green and red between a colder and a warmer light."""
    warmth = rng.uniform(-spread, spread)
    return np.array([1 - warmth, 1 + rng.uniform(-0.03, 0.03), 1 + warmth])


def _blur(rng: np.random.Generator, picture: Floats) -> Floats:
    kind = rng.random()
    if kind < 0.2:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
    if kind < 0.26:  # the camera moved
        length = int(rng.integers(3, 7))
        return np.asarray(cv2.blur(picture, (length, 1) if rng.random() < 0.5 else (1, length)), np.float32)
    return picture
