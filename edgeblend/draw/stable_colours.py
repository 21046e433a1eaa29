"""One colour for one object through the frames of a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeblend.masks.boxes import box_iou_batch
from edgeblend.results import Instances

_MIN_IOU = 0.3
_MEMORY = 12  # frames that an object may be gone for: half a second of most videos


@dataclass(slots=True)
class _Seen:
    """An object of the frames before."""

    box: NDArray[np.float32]
    label: int
    colour: int
    frame: int


class StableColours:
    """Gives each instance of a frame the colour that its object had in earlier frames, or a free one.

    An instance belongs to the object of its class whose last box overlaps its own most, by an IoU above 0.3.
    An object is forgotten after 12 frames without it. This is enough for drawing, and no tracker.
    """

    def __init__(self) -> None:
        self._seen: list[_Seen] = []
        self._frame = 0

    def __call__(self, instances: Instances) -> list[int]:
        """Return the number of each instance's colour, for ``colours`` of :func:`~edgeblend.draw.draw`.

        Call it once per frame, in the order of the frames.
        """
        self._frame += 1
        self._seen = [seen for seen in self._seen if self._frame - seen.frame <= _MEMORY]
        known = self._match(instances)
        free = iter(sorted(set(range(len(self._seen) + len(instances))) - {s.colour for s in self._seen}))
        colours = []
        for index, (box, label) in enumerate(zip(instances.boxes, instances.classes.tolist(), strict=True)):
            seen = known.get(index)
            if seen is None:
                seen = _Seen(box, label, next(free), self._frame)
                self._seen.append(seen)
            seen.box, seen.frame = box, self._frame
            colours.append(seen.colour)
        return colours

    def _match(self, instances: Instances) -> dict[int, _Seen]:
        """Return which instance is which object, the best overlap first."""
        boxes = np.array([seen.box for seen in self._seen], np.float32).reshape(-1, 4)
        labels = np.array([seen.label for seen in self._seen], np.int64)
        iou = box_iou_batch(boxes, instances.boxes)
        iou[labels[:, None] != instances.classes[None, :]] = 0
        matched: dict[int, _Seen] = {}
        while iou.size and iou.max() > _MIN_IOU:
            row, column = np.unravel_index(iou.argmax(), iou.shape)
            matched[int(column)] = self._seen[int(row)]
            iou[row, :] = 0
            iou[:, column] = 0
        return matched
