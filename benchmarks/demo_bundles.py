"""The demo model in float32 and INT8, and its pictures."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgeblend
from edgeblend.bundle import Bundle

DATA = Path(str(files("edgeblend.demo_data")))


def convert_demo(folder: Path, target: str) -> Bundle:
    """Convert the demo model."""
    names = (DATA / "classes.txt").read_text().split("\n")[:-1]
    return edgeblend.convert(
        DATA / "model.safetensors",
        folder / target,
        config=DATA / "config.yaml",
        class_names=names,
        target=target,
    )


def convert_and_quantize_demo(folder: Path, target: str) -> dict[str, Bundle]:
    """Return the demo model as ``float32`` and ``int8``."""
    float32 = convert_demo(folder, target)
    int8 = edgeblend.quantize(float32, folder / f"{target}-int8", calibration=DATA / "calibration")
    return {"float32": float32, "int8": int8}


def validation_pictures(count: int) -> list[NDArray[np.uint8]]:
    """Return the first pictures of the validation set, (H, W, 3) uint8 BGR of various sizes."""
    return [edgeblend.read_image(path) for path in sorted((DATA / "val").glob("*.jpg"))[:count]]
