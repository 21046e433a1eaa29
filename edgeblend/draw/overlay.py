"""Instances drawn over their frame: tinted masks, boxes and labels, for looking at."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.checks import MOST, check_list, check_whole
from edgeblend.draw.label_places import Rectangle, place_labels
from edgeblend.errors import InputError
from edgeblend.masks.paste import paste_region
from edgeblend.results import Instances
from edgeblend.runtime.images import ChannelOrder, Image, to_frame

Colour = tuple[int, int, int]

_OPACITY = 0.45
_RIM = 0.35  # how bright a mask's rim is beside its colour: tells it from an object of that colour
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_RATIO = 0.618034


def draw(
    frame: Image,
    instances: Instances,
    *,
    color: ChannelOrder = "bgr",
    colours: Sequence[int] | None = None,
) -> NDArray[np.uint8]:
    """Return a copy of the frame with the masks, boxes and labels of its instances, (H, W, 3) uint8.

    Where two instances overlap, the one with the higher score lies on top.

    Args:
        frame: what the segmenter was given: a path, an array or a PIL image; or a copy that is scaled to the
            instances' ``frame_size``.
        instances: what to draw.
        color: channel order of an array that is given, and of the array that is returned.
        colours: number of each instance's colour, see :func:`instance_colour`, so that an object of a video
            can keep its own (:class:`StableColours` finds them); the default is 0, 1, 2, ...

    Raises:
        InputError: the frame is no image, or has another size than the instances' ``frame_size``.
    """
    canvas = np.array(to_frame("frame", frame, color=color), order="C")
    _draw(canvas, instances, colours)
    return np.ascontiguousarray(canvas[..., ::-1]) if color == "rgb" else canvas


def _draw(canvas: NDArray[np.uint8], instances: Instances, colours: Sequence[int] | None) -> None:
    """Draw on a BGR array."""
    if canvas.shape[:2] != instances.frame_size:
        raise InputError(
            f"expected the frame of these instances, (h, w) {instances.frame_size}, got {canvas.shape[:2]}; "
            "pass the frame as the segmenter saw it"
        )
    descending = range(len(instances))
    chosen = [
        instance_colour(i) for i in (descending if colours is None else _checked(colours, len(instances)))
    ]
    for i in reversed(descending):
        _draw_mask(canvas, instances.mask_probs[i], instances.mask_boxes[i], chosen[i])
    for i in reversed(descending):
        _draw_box(canvas, instances.boxes[i], chosen[i])
    for label, colour in zip(_labels(canvas, instances), chosen, strict=True):
        _draw_label(canvas, label, colour)


def _checked(colours: Sequence[int], count: int) -> list[int]:
    numbers = [check_whole("colours", one, 0, MOST) for one in check_list("colours", colours, "numbers")]
    if len(numbers) != count:
        raise InputError(f"colours: got {len(numbers)} for {count} instances; give one per instance")
    return numbers


def instance_colour(index: int) -> Colour:
    """Return the colour of a number, from 0, as (blue, green, red) of 0 to 255 each.

    Hues lie a golden ratio apart, so that neighbouring numbers have unlike colours.
    """
    hue = (0.58 + index * _GOLDEN_RATIO) % 1.0
    # Every third darker: tells hues apart that do come close after a while.
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.8, (1.0, 0.95, 0.75)[index % 3])
    return round(blue * 255), round(green * 255), round(red * 255)


def _draw_mask(
    canvas: NDArray[np.uint8], probs: NDArray[np.float32], box: NDArray[np.float32], colour: Colour
) -> None:
    """Tint the mask's pixels and trace its outline; touches only the region around the box."""
    top, left, mask = paste_region(probs, box, canvas.shape[:2])
    if not mask.any():
        return
    region = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    tinted = cv2.addWeighted(region, 1 - _OPACITY, np.full_like(region, colour), _OPACITY, 0)
    np.copyto(region, tinted, where=mask[..., None])
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = _outline_width(canvas)
    blue, green, red = (round(_RIM * channel) for channel in colour)
    for ink, thickness in (((blue, green, red), width + 2), (colour, width)):
        cv2.drawContours(canvas, outlines, -1, ink, thickness, cv2.LINE_AA, offset=(left, top))


def _draw_box(canvas: NDArray[np.uint8], box: NDArray[np.float32], colour: Colour) -> None:
    x0, y0, x1, y1 = _pixels(box)
    cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour, _line_width(canvas))


@dataclass(frozen=True, slots=True)
class _Label:
    text: str
    place: Rectangle
    origin: tuple[int, int]
    """(x, y) of the text's baseline, from the place's top left."""


def _labels(canvas: NDArray[np.uint8], instances: Instances) -> list[_Label]:
    """Return every instance's label with its place; the highest score chooses first."""
    texts = [f"{name} {score:.2f}" for name, score in zip(instances.names, instances.scores, strict=True)]
    sizes: list[tuple[int, int]] = []
    origins: list[tuple[int, int]] = []
    for text in texts:
        (width, height), baseline = cv2.getTextSize(text, _FONT, _text_scale(canvas), _line_width(canvas))
        margin = max(round(height * 0.35), 2)
        sizes.append((width + 2 * margin, height + baseline + margin))
        origins.append((margin, height + margin - margin // 2))
    frame = (canvas.shape[1], canvas.shape[0])
    places = place_labels([_pixels(box) for box in instances.boxes], sizes, frame)
    return [_Label(*label) for label in zip(texts, places, origins, strict=True)]


def _draw_label(canvas: NDArray[np.uint8], label: _Label, colour: Colour) -> None:
    x0, y0, x1, y1 = label.place
    cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour, cv2.FILLED)
    origin = (x0 + label.origin[0], y0 + label.origin[1])
    scale, width = _text_scale(canvas), _line_width(canvas)
    cv2.putText(canvas, label.text, origin, _FONT, scale, _text_colour(colour), width, cv2.LINE_AA)


def _pixels(box: NDArray[np.float32]) -> Rectangle:
    x0, y0, x1, y1 = (round(side) for side in box.tolist())
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def _outline_width(canvas: NDArray[np.uint8]) -> int:
    return max(round(_short_side(canvas) / 300), 1)


def _line_width(canvas: NDArray[np.uint8]) -> int:
    return max(round(_short_side(canvas) / 500), 1)


def _text_scale(canvas: NDArray[np.uint8]) -> float:
    """Return the font's scale: letters 1/40 of the frame's short side high, but legible."""
    return max(_short_side(canvas) / 40 / 22, 0.4)  # 22: a capital's height in pixels at scale 1


def _short_side(canvas: NDArray[np.uint8]) -> int:
    height, width = canvas.shape[:2]
    return int(min(height, width))


def _text_colour(background: Colour) -> Colour:
    """Return black on light colours, white on dark ones (ITU-R BT.601 luma)."""
    blue, green, red = background
    light = 0.114 * blue + 0.587 * green + 0.299 * red > 140
    return (0, 0, 0) if light else (255, 255, 255)
