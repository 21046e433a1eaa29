"""What ``edgeblend demo`` compares: one trained model, as different engines and precisions run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeblend.demo.data import DemoData

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.runtime.segmenter import Segmenter

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run the model."""

    name: str
    precision: str
    """What the graphs are computed in, for the most part."""
    segmenter: Segmenter
    bytes: int
    """On disk, of all that it is loaded from."""
    bundle: Bundle | None = None
    """None for what runs without one."""

    @property
    def engine(self) -> str:
        """The engine and its version."""
        return self.segmenter.info.parts["detector"].engine

    @property
    def threads(self) -> int | None:
        """CPU threads that the engine takes."""
        return self.segmenter.info.parts["detector"].threads


def torch_float32(data: DemoData, folder: Path, say: Say) -> Candidate:
    """Return the checkpoint as torch runs it: what all others are measured against."""
    from edgeblend.converters.reference import torch_segmenter
    from edgeblend.model.blendmask import build_network
    from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
    from edgeblend.model.config import load_config

    say("opening it in torch")
    network = build_network(load_config(data.config))
    load_weights(network, read_checkpoint(data.checkpoint), source=str(data.checkpoint))
    segmenter = torch_segmenter(network, class_names=data.class_names, category_ids=data.category_ids)
    return Candidate("torch", "float32", segmenter, data.checkpoint.stat().st_size)


def openvino_float32(data: DemoData, folder: Path, say: Say) -> Candidate:
    """Return the checkpoint converted for OpenVINO, and verified against torch."""
    import edgeblend

    bundle = edgeblend.convert(
        data.checkpoint,
        folder / "bundle",
        config=data.config,
        class_names=data.class_names,
        category_ids=data.category_ids,
        progress=say,
    )
    size = sum(file.size for file in bundle.manifest.files)
    return Candidate("OpenVINO", "float32", edgeblend.Segmenter.load(bundle), size, bundle)


def openvino_int8(data: DemoData, folder: Path, say: Say) -> Candidate:
    """Return what :func:`openvino_float32` made, quantized with the calibration pictures."""
    import edgeblend

    bundle = edgeblend.quantize(
        folder / "bundle",
        folder / "bundle-int8",
        calibration=data.calibration,
        recipe=data.recipe,
        progress=say,
    )
    size = sum(file.size for file in bundle.manifest.files)
    return Candidate("OpenVINO", "int8", edgeblend.Segmenter.load(bundle), size, bundle)


CANDIDATES: tuple[Callable[[DemoData, Path, Say], Candidate], ...] = (
    torch_float32,
    openvino_float32,
    openvino_int8,
)
"""How each is made from the data, in a folder that takes what it writes. The last one
draws the pictures, so it must be a bundle."""
