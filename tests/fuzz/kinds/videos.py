"""Short videos, damaged."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from edgeblend.calibration.data.frames import Frame, open_frames
from edgeblend.errors import InputError

from ..mutate_bytes import mutate_bytes
from ..samples import files
from .kind import Kind, expect

_NAMES = {"avi": "mjpeg.avi", "mp4": "mpeg4.mp4", "webm": "vp8.webm"}
_MOST = 100
"""Frames that are read of one that claims to go on for ever."""


def _write(name: str, folder: Path) -> None:
    (folder / name).write_bytes(files("videos")[name])


def _make(name: str, random: Random, folder: Path) -> None:
    samples = files("videos")
    data = mutate_bytes(samples[name], random, others=[samples[name], *samples.values()])
    (folder / name).write_bytes(data)


def _run(folder: Path) -> None:
    (path,) = folder.iterdir()
    for count, frame in enumerate(open_frames(path).read()):
        if isinstance(frame, Frame):
            shape, dtype = frame.picture.shape, frame.picture.dtype
            expect(len(shape) == 3 and shape[2] == 3 and dtype == np.uint8, "a frame is not a BGR picture")
        if count == _MOST:
            break


KINDS = tuple(
    Kind(f"video-{name}", partial(_make, file), _run, (InputError,), partial(_write, file), share=2)
    for name, file in _NAMES.items()
)
