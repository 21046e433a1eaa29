"""What each graph is calibrated on: what it meets when it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec
import numpy as np

from edgeblend.calibration.data.frames import Frame
from edgeblend.converters.opened import OpenGraph
from edgeblend.manifest import Manifest
from edgeblend.runtime.backends.base import Array
from edgeblend.runtime.pipeline import (
    DetectorOutputs,
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
    """The canvases of frames, through the runtime's own preprocessing, as the detector takes them."""

    def __init__(self, frames: Frames, manifest: Manifest) -> None:
        self._frames, self._manifest = frames, manifest

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for frame in self._frames:
            yield detector_feed(self._manifest, prepare(self._manifest, frame.picture).canvas)

    def __len__(self) -> int:
        return len(self._frames)


class BasisFeed:
    """What a detector really hands to the basis graph: its own outputs, as the manifest's basis takes them.

    Of frames on which it detects something, since the graph does not run on others; where it detects nothing
    on any frame, of all.
    """

    def __init__(self, frames: Frames, manifest: Manifest, detector: OpenGraph) -> None:
        """Prepare to run a detector on frames.

        Args:
            frames: that it is to see.
            manifest: of the float bundle.
            detector: that graph, or the one it became.
        """
        graphs = {**manifest.graphs, "detector": detector.spec}
        self._manifest = msgspec.structs.replace(manifest, graphs=graphs)
        self._detector = detector.session
        self._canvases = DetectorFeed(frames, self._manifest)
        self._count: int | None = None
        self._all = False

    def __iter__(self) -> Iterator[dict[str, Array]]:
        len(self)  # decides whether frames without detections are left out
        for canvas in self._canvases:
            outputs = detect(self._manifest, self._detector, canvas)
            if self._all or self._detects(outputs):
                # The session's next run overwrites what it returned.
                yield {name: np.array(value) for name, value in basis_feed(self._manifest, outputs).items()}

    def __len__(self) -> int:
        if self._count is None:
            found = (detect(self._manifest, self._detector, canvas) for canvas in self._canvases)
            self._count = sum(self._detects(outputs) for outputs in found)
            if self._count == 0:
                self._all, self._count = True, len(self._canvases)
        return self._count

    def _detects(self, outputs: DetectorOutputs) -> bool:
        return len(find_detections(self._manifest, outputs)) > 0
