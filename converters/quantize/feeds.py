"""What each graph is calibrated on: what it meets when it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from edgeblend.calibration.data.frames import Frame
from edgeblend.converters.opened import OpenNetwork
from edgeblend.manifest import Part
from edgeblend.runtime.backends.base import Array
from edgeblend.runtime.pipeline import (
    DetectorOutputs,
    PipelineSpec,
    basis_feed,
    detect,
    detector_feed,
    find_detections,
    prepare,
)


class Frames(Protocol):
    """Calibration frames: they can be gone through again and again, and are decoded one at a time."""

    def __iter__(self) -> Iterator[Frame]: ...

    def __len__(self) -> int: ...


class DetectorFeed:
    """The canvases of frames, made by the runtime's own preprocessing, as the detector takes them."""

    def __init__(self, frames: Frames, network: PipelineSpec) -> None:
        """Prepare to read frames.

        Args:
            frames: the calibration frames.
            network: its canvas, and its detector's input.
        """
        self._frames, self._network = frames, network

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for frame in self._frames:
            yield detector_feed(self._network, prepare(self._network, frame.picture).canvas)

    def __len__(self) -> int:
        return len(self._frames)


class BasisFeed:
    """What a network's detector hands to its basis graph.

    Frames without detections are left out, since the basis graph does not run on them. If no frame has any,
    all are taken.
    """

    def __init__(self, frames: Frames, network: OpenNetwork) -> None:
        """Prepare to run a detector on frames.

        Args:
            frames: the calibration frames.
            network: its detector runs, in float or in INT8; its basis graph is the one in float.
        """
        self._network = network
        self._detector = network.sessions["detector"]
        self._canvases = DetectorFeed(frames, network)
        self._count: int | None = None
        self._all = False

    def __iter__(self) -> Iterator[dict[str, Array]]:
        len(self)  # decides whether frames without detections are left out
        for canvas in self._canvases:
            outputs = detect(self._network, self._detector, canvas)
            if self._all or self._detects(outputs):
                # The session's next run overwrites what it returned.
                yield {name: np.array(value) for name, value in basis_feed(self._network, outputs).items()}

    def __len__(self) -> int:
        if self._count is None:
            found = (detect(self._network, self._detector, canvas) for canvas in self._canvases)
            self._count = sum(self._detects(outputs) for outputs in found)
            if self._count == 0:
                self._all, self._count = True, len(self._canvases)
        return self._count

    def _detects(self, outputs: DetectorOutputs) -> bool:
        return len(find_detections(self._network, outputs)) > 0


def feed_of(part: Part, frames: Frames, network: OpenNetwork) -> DetectorFeed | BasisFeed:
    """Return what a graph of a network is calibrated on."""
    return DetectorFeed(frames, network) if part == "detector" else BasisFeed(frames, network)
