"""What a bundle's graphs put out for a picture, beside the instances that come of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeblend.manifest import Part
from edgeblend.runtime.backends.base import Session
from edgeblend.runtime.pipeline import (
    PipelineSpec,
    basis_feed,
    compute_bases,
    detect,
    detector_feed,
    prepare,
)

OutputKey = tuple[Part, str, str | None]
"""Graph, role, and pyramid level where the role has levels."""


def run_graphs(
    sessions: Mapping[Part, Session], manifest: PipelineSpec, frame: NDArray[np.uint8]
) -> dict[OutputKey, NDArray[np.float32]]:
    """Run every graph on a frame, the basis graph also where nothing is detected.

    Args:
        sessions: of every graph.
        manifest: what describes them.
        frame: (H, W, 3) uint8 BGR.

    Returns:
        Each output (C, h, w) by graph, role and level, whatever its layout and name; copies.
    """
    outputs = detect(manifest, sessions["detector"], detector_feed(manifest, prepare(manifest, frame).canvas))
    found = _copies("detector", outputs.tensors)
    bases = compute_bases(manifest, sessions["basis"], basis_feed(manifest, outputs))
    return {**found, **_copies("basis", bases)}


def _copies(
    part: Part, outputs: Mapping[tuple[str, str | None], NDArray[np.float32]]
) -> dict[OutputKey, NDArray[np.float32]]:
    return {(part, role, level): np.array(value) for (role, level), value in outputs.items()}
