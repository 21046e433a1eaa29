"""The images that a conversion is verified on: the caller's own, or the shipped photograph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files

import cv2
import msgspec
import numpy as np

from edgeblend.arguments.callbacks import callers_items
from edgeblend.calibration.data.frames import (
    Frame,
    Frames,
    FrameSource,
    PassingFrames,
    SequenceFrames,
    check_frames,
    open_frames,
)
from edgeblend.errors import InputError
from edgeblend.spec import InputSpec

_PHOTOGRAPH = "coffee.jpg"


def check_images(source: object) -> None:
    """Refuse what is nothing to take images from, with an InputError; None stands for the photograph."""
    if source is not None and not (isinstance(source, np.ndarray) and source.ndim == 3):
        check_frames("verify_on", source)


def read_images(source: Frames) -> FrameSource:
    """Return a caller's images; each of them was read once, so that verifying can read it again.

    Args:
        source: anything that :func:`edgeblend.calibration.data.frames.open_frames` takes, or one array
            (H, W, 3) uint8 BGR.

    Raises:
        InputError: there is no image, or one cannot be read.
    """
    if isinstance(source, np.ndarray) and source.ndim == 3:
        source = [source]
    opened = open_frames(source)
    if isinstance(opened, PassingFrames):  # a generator gives its images once
        opened = SequenceFrames([frame.picture for frame in _readable(opened)])
    if not sum(1 for _ in _readable(opened)):
        raise InputError("verify_on: holds no image; give at least one")
    return opened


def images_to_verify_on(spec: InputSpec, own: FrameSource | None) -> tuple[InputSpec, Iterable[Frame]]:
    """Return the canvas to verify with, and the images, decoded one at a time.

    The caller's images are seen as the bundle will see them. Of the shipped photograph a bundle with a canvas
    of fixed size sees one view with a margin to fill, and a dynamic one sees two small views of odd sizes,
    which reveal a size that was traced as a constant.

    Args:
        spec: the bundle's canvas.
        own: what :func:`read_images` returned; None takes the shipped photograph.
    """
    if own is not None:
        return spec, _readable(own)
    data = files("edgeblend.converters").joinpath(f"data/{_PHOTOGRAPH}").read_bytes()
    photograph = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    landscape = Frame(0, _PHOTOGRAPH, np.asarray(photograph, np.uint8))
    if not spec.dynamic:
        return spec, [landscape]
    portrait = Frame(1, f"{_PHOTOGRAPH} (part)", np.ascontiguousarray(landscape.picture[:, 90:400]))
    return msgspec.structs.replace(spec, min_size=250, max_size=401), [landscape, portrait]


def _readable(source: FrameSource) -> Iterator[Frame]:
    for frame in callers_items(source.read()):
        if not isinstance(frame, Frame):
            raise InputError(f"verify_on: {frame.name} cannot be used: {frame.reason}")
        yield frame
