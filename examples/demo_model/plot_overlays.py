"""Draws the picture of the README: plot_overlays.py DEMO, a folder that `edgeblend demo` made."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

_HEIGHT, _WIDTH, _ROWS = 400, 1500, 2


def main() -> None:
    """Lay the demo's pictures out in rows of equal height, as they come, and write ``overlays.jpg``."""
    pictures = [cv2.imread(str(path)) for path in sorted((Path(sys.argv[1]) / "pictures").glob("*.jpg"))]
    scaled = [
        cv2.resize(picture, (picture.shape[1] * _HEIGHT // picture.shape[0], _HEIGHT))
        for picture in pictures
        if picture is not None
    ]
    rows: list[list[np.ndarray]] = [[] for _ in range(_ROWS)]
    for row in rows:
        while scaled and sum(tile.shape[1] for tile in row) + scaled[0].shape[1] <= _WIDTH:
            row.append(scaled.pop(0))
    width = min(sum(tile.shape[1] for tile in row) for row in rows)
    sheet = np.vstack([cv2.resize(np.hstack(row), (width, _HEIGHT)) for row in rows])
    cv2.imwrite(str(Path(__file__).parent / "overlays.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
