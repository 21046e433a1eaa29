"""What a bundle's graphs put out for a picture, beside the instances that come of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeblend.manifest import Manifest, Part
from edgeblend.runtime.backends.base import Session
from edgeblend.runtime.preprocess import preprocess
from edgeblend.runtime.tensors import basis_inputs, detector_inputs, outputs_by_role

OutputKey = tuple[Part, str, str | None]
"""Graph, role, and pyramid level where the role has levels."""


def run_graphs(
    sessions: Mapping[Part, Session], manifest: Manifest, frame: NDArray[np.uint8]
) -> dict[OutputKey, NDArray[np.float32]]:
    """Run every graph on a frame, the basis graph also where nothing is detected.

    Args:
        sessions: of every graph.
        manifest: what describes them.
        frame: (H, W, 3) uint8 BGR.

    Returns:
        Each output (C, h, w) by graph, role and level, whatever its layout and name; copies.
    """
    detector, basis = manifest.graphs["detector"], manifest.graphs["basis"]
    canvas = preprocess(frame, manifest.input).canvas
    raw = sessions["detector"].run(detector_inputs(detector, canvas))
    found = _copies("detector", outputs_by_role(detector, raw))
    bases = sessions["basis"].run(basis_inputs(detector, basis, raw))
    return {**found, **_copies("basis", outputs_by_role(basis, bases))}


def _copies(
    part: Part, outputs: Mapping[tuple[str, str | None], NDArray[np.float32]]
) -> dict[OutputKey, NDArray[np.float32]]:
    return {(part, role, level): np.array(value) for (role, level), value in outputs.items()}
