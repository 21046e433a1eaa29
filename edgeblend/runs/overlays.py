"""Pictures with what was found drawn in, as JPEG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.draw.overlay import draw
from edgeblend.errors import InputError

if TYPE_CHECKING:
    from edgeblend.results import Instances

_JPEG_LIMIT = 65500
_QUALITY = 92


def check_overlay(path: Path, frame: NDArray[np.uint8]) -> None:
    """Check that a picture, (H, W, 3) uint8 BGR, fits into a JPEG.

    Raises:
        InputError: a side is too long.
    """
    height, width = frame.shape[:2]
    if max(height, width) > _JPEG_LIMIT:
        raise InputError(
            f"{path}: {width} x {height} is too large for a JPEG overlay, which ends at {_JPEG_LIMIT} pixels "
            "a side; use --no-overlays"
        )


def encode_overlay(frame: NDArray[np.uint8], instances: Instances) -> bytes:
    """Return a picture, (H, W, 3) uint8 BGR, with its instances drawn in, as JPEG."""
    _, data = cv2.imencode(".jpg", draw(frame, instances), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
