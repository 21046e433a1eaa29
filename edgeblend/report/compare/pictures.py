"""Pictures that a reference and a candidate see differently, drawn side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.data.coco import read_picture
from edgeblend.calibration.data.coco_file import listed
from edgeblend.draw.overlay import draw
from edgeblend.report.figures import counted
from edgeblend.results import Instances

if TYPE_CHECKING:
    from edgeblend.calibration.evaluation.comparison import Disagreement

AGREEING_IOU = 0.9
"""Matched objects whose masks overlap at least so much are not drawn, so that the others can be seen."""
DRAWN = 10
"""Objects that are drawn at most."""
_WIDTH, _HEIGHT = 640, 560  # pixels that a picture is scaled to fit into
_LARGEST_SCALE = 4.0
_QUALITY = 85


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """One picture as the reference and as a candidate see it, as JPEG."""

    name: str
    size: tuple[int, int]
    """(width, height) in pixels."""
    reference: bytes
    candidate: bytes
    caption: str
    """Text that says what differs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that the two see differently."""

    kind: str
    text: str
    reference: int | None
    """Number of the reference's instance; None where the reference has none."""
    candidate: int | None


def draw_pair(item: Disagreement) -> DrawnPair:
    """Draw what differs into a picture, an object that both have in one colour.

    Raises:
        InputError: the picture cannot be read any more.
    """
    picture = read_picture(item.image)
    scale = min(_WIDTH / picture.shape[1], _HEIGHT / picture.shape[0], _LARGEST_SCALE)
    width, height = (max(round(side * scale), 1) for side in (picture.shape[1], picture.shape[0]))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), np.uint8)
    found = list_differences(item)
    # Numbers follow descending scores. An object has one colour on both sides.
    first = {d.reference: i for i, d in enumerate(found[:DRAWN]) if d.reference is not None}
    second = {d.candidate: i for i, d in enumerate(found[:DRAWN]) if d.candidate is not None}
    return DrawnPair(
        name=item.image.path.name,
        size=(width, height),
        reference=_drawn(canvas, item.reference, first),
        candidate=_drawn(canvas, item.candidate, second),
        caption=_caption(found, len(item.frame.pairs)),
    )


def list_differences(item: Disagreement) -> list[Difference]:
    """Return what differs: other classes, then what only one side has, by descending score, then masks."""
    frame, reference, candidate = item.frame, item.reference, item.candidate
    flips = [
        Difference("class", f"{reference.names[i]} became {candidate.names[j]}", i, j)
        for i, j in frame.flips.tolist()
    ]
    lost = np.setdiff1d(frame.lost, frame.flips[:, 0]).tolist()
    invented = np.setdiff1d(frame.invented, frame.flips[:, 1]).tolist()
    alone = [(float(reference.scores[i]), Difference("lost", _scored(reference, i), i, None)) for i in lost]
    alone += [
        (float(candidate.scores[j]), Difference("invented", _scored(candidate, j), None, j)) for j in invented
    ]
    alone.sort(key=lambda entry: -entry[0])
    order = np.argsort(frame.mask_ious, kind="stable").tolist()
    masks = [
        Difference("mask IoU", f"{reference.names[i]} {iou:.2f}", i, j)
        for (i, j), iou in ((frame.pairs[place].tolist(), frame.mask_ious[place]) for place in order)
        if iou < AGREEING_IOU
    ]
    return [*flips, *(difference for _, difference in alone), *masks]


def _scored(instances: Instances, number: int) -> str:
    return f"{instances.names[number]} {instances.scores[number]:.2f}"


def _caption(found: Sequence[Difference], matched: int) -> str:
    kinds = dict.fromkeys(difference.kind for difference in found)
    parts = [
        f"{kind}: {listed([difference.text for difference in found if difference.kind == kind])}"
        for kind in kinds
    ]
    if len(found) > DRAWN:
        parts.append(f"of these {DRAWN} are drawn")
    if agreeing := matched - sum(difference.kind == "mask IoU" for difference in found):
        parts.append(f"{counted(agreeing, 'other object')} with the same mask")
    return "; ".join(parts)


def _drawn(canvas: NDArray[np.uint8], instances: Instances, colours: Mapping[int, int]) -> bytes:
    """Return a canvas with some of the instances, scaled to it, as JPEG."""
    numbers = sorted(colours)
    size = (canvas.shape[0], canvas.shape[1])
    shown = _resized(instances[numbers], size)
    picture = draw(canvas, shown, colours=[colours[number] for number in numbers])
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()


def _resized(instances: Instances, size: tuple[int, int]) -> Instances:
    """Return instances on a copy of their frame that is (height, width) large."""
    height, width = instances.frame_size
    scale = np.array([size[1] / width, size[0] / height] * 2, np.float32)
    return replace(
        instances, boxes=instances.boxes * scale, mask_boxes=instances.mask_boxes * scale, frame_size=size
    )
