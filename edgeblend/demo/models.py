"""The demo's model in the three ways that are compared: in torch, and as two bundles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgeblend.demo.data import DemoData

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.runtime.segmenter import Segmenter

Say = Callable[[str], None]
"""Function that takes a line about what happens now."""

FLOAT, INT8 = "bundle", "bundle-int8"
"""Folders of the bundles."""


def open_in_torch(data: DemoData) -> Segmenter:
    """Return the checkpoint as torch runs it in eager mode."""
    from edgeblend.converters.reference import torch_segmenter
    from edgeblend.model.blendmask import build_network
    from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
    from edgeblend.model.config import load_config

    network = build_network(load_config(data.config))
    load_weights(network, read_checkpoint(data.checkpoint), source=str(data.checkpoint))
    return torch_segmenter(network, class_names=data.class_names, category_ids=data.category_ids)


def convert_model(data: DemoData, folder: Path, say: Say) -> Bundle:
    """Convert the checkpoint for OpenVINO, verified against torch, into a folder of this one."""
    import edgeblend

    return edgeblend.convert(
        data.checkpoint,
        folder / FLOAT,
        config=data.config,
        class_names=data.class_names,
        category_ids=data.category_ids,
        progress=say,
    )


def quantize_model(data: DemoData, bundle: Bundle, folder: Path, say: Say) -> Bundle:
    """Quantize the bundle with the calibration pictures, into a folder of this one."""
    import edgeblend

    return edgeblend.quantize(
        bundle,
        folder / INT8,
        calibration=data.calibration,
        recipe=data.recipe,
        progress=say,
    )
