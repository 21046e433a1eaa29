"""A frame becomes the canvas that the detector graph takes: resized, letterboxed, still uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeblend.runtime.images import to_bgr8
from edgeblend.runtime.resize import resize_antialiased
from edgeblend.spec import InputSpec


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frame as the network sees it, and the way back."""

    canvas: NDArray[np.uint8]
    """(1, H, W, 3) BGR, C-contiguous. It may share memory with the frame."""
    scale: tuple[float, float]
    """(sx, sy): frame pixels per network pixel; network x times sx is frame x."""
    content: tuple[int, int]
    """(h, w) of the picture, at the canvas's top left; the rest is padding."""


def preprocess(frame: NDArray[Any], spec: InputSpec) -> Prepared:
    """Return ``frame`` on the canvas of ``spec``.

    Takes what :func:`~edgeblend.runtime.images.to_bgr8` takes. A dynamic canvas is the resized
    picture itself: the graph pads it to its stride. A static one is filled right and below with
    ``spec.pad_value``. A frame that fits exactly is not copied.
    """
    image = to_bgr8(frame)
    frame_height, frame_width = image.shape[:2]
    height, width = network_size((frame_height, frame_width), spec)
    canvas = _letterbox(resize_antialiased(image, (height, width)), spec)
    return Prepared(
        canvas=np.ascontiguousarray(canvas)[None],
        scale=(frame_width / width, frame_height / height),
        content=(height, width),
    )


def network_size(frame_size: tuple[int, int], spec: InputSpec) -> tuple[int, int]:
    """Return the (h, w) in network pixels that a frame of ``frame_size`` = (h, w) is resized to.

    Dynamic: the short side becomes ``min_size``, unless the long side would then pass ``max_size``.
    Static: the largest size of the frame's aspect that the canvas holds. Sides round half up and
    are at least 1.
    """
    height, width = frame_size
    if spec.height is None or spec.width is None:
        scale = spec.min_size / min(height, width)
        if scale * max(height, width) > spec.max_size:
            scale = spec.max_size / max(height, width)
        return _scaled(height, scale), _scaled(width, scale)
    scale = min(spec.height / height, spec.width / width)
    return min(_scaled(height, scale), spec.height), min(_scaled(width, scale), spec.width)


def _scaled(side: int, scale: float) -> int:
    return max(int(side * scale + 0.5), 1)


def _letterbox(image: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Return ``image`` at the top left of a static canvas, or itself where nothing is left to fill."""
    height, width = image.shape[:2]
    if spec.height is None or spec.width is None or (height, width) == (spec.height, spec.width):
        return image
    canvas = np.empty((spec.height, spec.width, 3), np.uint8)
    canvas[:height, :width] = image
    canvas[height:] = spec.pad_value
    canvas[:height, width:] = spec.pad_value
    return canvas
