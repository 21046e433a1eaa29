"""What each graph is calibrated on: what it meets when it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec
import numpy as np

from edgeblend.calibration.data.frames import Frame
from edgeblend.converters.opened import OpenGraph
from edgeblend.manifest import Manifest
from edgeblend.runtime.backends.base import Array
from edgeblend.runtime.decode import LevelOutputs, decode
from edgeblend.runtime.preprocess import preprocess
from edgeblend.runtime.tensors import basis_inputs, detector_inputs, outputs_by_role


class Frames(Protocol):
    """Calibration frames: they can be gone through again and again, and are decoded one at a time."""

    def __iter__(self) -> Iterator[Frame]: ...

    def __len__(self) -> int: ...


class DetectorFeed:
    """The canvases of frames, through the runtime's own preprocessing, as the detector takes them."""

    def __init__(self, frames: Frames, manifest: Manifest) -> None:
        self._frames, self._manifest = frames, manifest

    def __iter__(self) -> Iterator[dict[str, Array]]:
        detector = self._manifest.graphs["detector"]
        for frame in self._frames:
            yield detector_inputs(detector, preprocess(frame.picture, self._manifest.input).canvas)

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
        self._manifest, self._detector = manifest, detector
        graphs = {**manifest.graphs, "detector": detector.spec}
        self._canvases = DetectorFeed(frames, msgspec.structs.replace(manifest, graphs=graphs))
        self._count: int | None = None
        self._all = False

    def __iter__(self) -> Iterator[dict[str, Array]]:
        len(self)  # decides whether frames without detections are left out
        spec, basis = self._detector.spec, self._manifest.graphs["basis"]
        for canvas in self._canvases:
            outputs = self._detector.session.run(canvas)
            if self._all or self._detects(outputs):
                # The session's next run overwrites what it returned.
                yield {name: np.array(value) for name, value in basis_inputs(spec, basis, outputs).items()}

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(self._detects(self._detector.session.run(canvas)) for canvas in self._canvases)
            if self._count == 0:
                self._all, self._count = True, len(self._canvases)
        return self._count

    def _detects(self, outputs: Mapping[str, Array]) -> bool:
        spec = self._manifest.decode
        tensors = outputs_by_role(self._detector.spec, outputs)
        levels = [
            LevelOutputs(*(tensors[role, level.name] for role in ("cls_logits", "box_reg", "centerness")))
            for level in spec.levels
        ]
        return len(decode(levels, spec)) > 0
