"""The demo model in float32 and INT8, and its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.demo.data import find_demo_data

DEMO = find_demo_data()


def convert_demo(out: Path, **options: Any) -> Bundle:  # noqa: ANN401 - those of edgeblend.convert
    """Convert the demo model."""
    return edgeblend.convert(
        DEMO.checkpoint,
        out,
        config=DEMO.config,
        class_names=DEMO.class_names,
        category_ids=DEMO.category_ids,
        **options,
    )


def convert_and_quantize_demo(folder: Path, target: str) -> dict[str, Bundle]:
    """Return the demo model as ``float32`` and ``int8``."""
    float32 = convert_demo(folder / target, target=target)
    int8 = edgeblend.quantize(float32, folder / f"{target}-int8", calibration=DEMO.calibration)
    return {"float32": float32, "int8": int8}


def validation_pictures(count: int) -> list[NDArray[np.uint8]]:
    """Return the first pictures of the validation set, (H, W, 3) uint8 BGR of various sizes."""
    paths = sorted(DEMO.validation.with_suffix("").glob("*.jpg"))
    return [edgeblend.read_image(path) for path in paths[:count]]
