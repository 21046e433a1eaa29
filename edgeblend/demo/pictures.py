"""The demo's pictures and video with what was found drawn in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.draw.overlay import draw
from edgeblend.draw.stable_colours import StableColours
from edgeblend.draw.video import Video, VideoFile, write_video
from edgeblend.results import Instances

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgeblend.calibration.data.coco import CocoDataset, CocoImage
    from edgeblend.runtime.segmenter import Segmenter

SHOWN_SCORE = 0.5
"""What is drawn scores at least this; accuracy is measured on everything above the model's own threshold."""
SCALE = 2
"""Drawn this much larger than they were segmented: the data's pictures are small, labels would hide them."""
_QUALITY = 90
_FEW_OBJECTS, _MANY_OBJECTS = 3, 8


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture that was drawn into."""

    file: Path
    source: str
    """Name of the picture that was segmented."""
    size: tuple[int, int]
    """(width, height) in pixels."""
    found: tuple[tuple[str, float], ...]
    """Class name and score of what is drawn, sorted by descending score."""


def choose_pictures(dataset: CocoDataset, count: int) -> list[CocoImage]:
    """Return pictures from all over a data set, with a middling number of labelled objects."""
    fitting = [im for im in dataset.images if _FEW_OBJECTS <= len(im.objects) <= _MANY_OBJECTS]
    candidates = fitting if len(fitting) >= count else list(dataset.images)
    places = np.linspace(0, len(candidates) - 1, min(count, len(candidates)), dtype=int)
    return [candidates[place] for place in places]


def draw_pictures(segmenter: Segmenter, images: Iterable[CocoImage], folder: Path) -> Iterator[Overlay]:
    """Segment pictures and write them with what was found into a folder, as JPEG.

    Raises:
        InputError: a picture cannot be read.
    """
    from edgeblend.calibration.data.coco import read_picture

    for image in images:
        canvas, instances = _segment(segmenter, read_picture(image))
        file = folder / f"{image.path.stem}.jpg"
        _, data = cv2.imencode(".jpg", draw(canvas, instances), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        file.write_bytes(data.tobytes())
        found = tuple(zip(instances.names, instances.scores.tolist(), strict=True))
        yield Overlay(file, image.path.name, (canvas.shape[1], canvas.shape[0]), found)


def draw_video(segmenter: Segmenter, source: VideoFile, stem: Path, *, progress: bool = False) -> Video:
    """Segment every frame of a video and write it with what was found, an object always in one colour.

    Raises:
        OutputError: the video cannot be written.
    """
    from tqdm import tqdm

    frames = tqdm(source, total=source.count, unit="frame", leave=False, disable=not progress)
    size = (SCALE * source.size[0], SCALE * source.size[1])
    return write_video(stem, _drawn(segmenter, frames), size=size, rate=source.rate)


def _drawn(segmenter: Segmenter, frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    colours = StableColours()
    for frame in frames:
        canvas, instances = _segment(segmenter, frame)
        yield draw(canvas, instances, colours=colours(instances))


def _segment(segmenter: Segmenter, picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Instances]:
    """Return a picture drawn larger, and its instances there."""
    height, width = SCALE * picture.shape[0], SCALE * picture.shape[1]
    instances = segmenter(picture, output_size=(height, width))
    canvas = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(canvas, np.uint8), instances[instances.scores >= SHOWN_SCORE]
