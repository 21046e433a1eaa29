"""Makes the video of the demo data: objects that cross a frame, which pans over a photograph.

Every tenth frame is annotated. The annotation file names frame n as ``video_NNNNNN.png``, the name under
which ``extract_frames`` saves it, and gives n itself as the image's ``frame``, counted from 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from annotations import Json, annotation_of, write_annotations
from compose import MIN_IN_FRAME, MIN_VISIBLE, MIN_VISIBLE_AREA, Instance
from emoji import ObjectLibrary
from numpy.typing import NDArray
from paste import Lighting, full_area, paste, warp
from tracks import Track, pose_at, random_tracks

from edgeblend.errors import InputError, OutputError

FRAMES = 250
FRAMES_PER_SECOND = 25
ANNOTATED_EVERY = 10
SIZE = (240, 320)  # height, width

_OBJECTS = 10
_PHOTOGRAPH_SHARE = 1.6  # the photograph's shorter side, in frames
_BLUR = 1.0  # px, standard deviation: the photograph is behind the objects, and blurred it compresses better
_LIGHTING = Lighting(shadow=0.45, direction=(0.05, 0.09), softness=0.04)


@dataclass(frozen=True, slots=True)
class Footage:
    """What the video shows.

    Attributes:
        backdrop: (H, W, 3) float32 BGR in 0..1, larger than a frame.
        tracks: the courses of the objects, those behind first.
        seed: of the light that each object is in.
    """

    backdrop: NDArray[np.float32]
    tracks: tuple[Track, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object in one frame.

    Attributes:
        instance: its class and its visible mask, which is not empty.
        track: index of its course.
        partial: less of it shows than of any object in the pictures.
    """

    instance: Instance
    track: int
    partial: bool


def make_footage(library: ObjectLibrary, photograph: NDArray[np.uint8], seed: int) -> Footage:
    """Return a video's content: a photograph (H, W, 3) BGR and objects on random courses."""
    scale = _PHOTOGRAPH_SHARE * max(SIZE[0] / photograph.shape[0], SIZE[1] / photograph.shape[1])
    size = (round(photograph.shape[1] * scale), round(photograph.shape[0] * scale))
    backdrop = cv2.resize(photograph, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    backdrop = np.asarray(cv2.GaussianBlur(backdrop, (0, 0), _BLUR), np.float32)
    tracks = random_tracks(
        np.random.default_rng(seed), library, _OBJECTS, SIZE, seconds=FRAMES / FRAMES_PER_SECOND
    )
    return Footage(backdrop / np.float32(255), tuple(tracks), seed)


def render(footage: Footage, frame: int) -> tuple[NDArray[np.uint8], list[Sighting]]:
    """Return a frame (240, 320, 3) BGR and the objects in it, those behind first."""
    canvas = _backdrop_at(footage.backdrop, frame / (FRAMES - 1))
    sightings: list[tuple[Sighting, int]] = []  # with the object's area in the frame
    for index, track in enumerate(footage.tracks):
        pose = pose_at(track, frame / FRAMES_PER_SECOND)
        patch = None if pose is None else warp(track.cutout, pose, SIZE)
        if pose is None or patch is None or not patch.mask.any():
            continue
        # The same numbers in every frame: an object keeps the light it is in.
        paste(np.random.default_rng([footage.seed, index]), canvas, patch, _LIGHTING)
        mask = np.zeros(SIZE, bool)
        mask[patch.top : patch.bottom, patch.left : patch.right] = patch.mask
        area = int(mask.sum())
        cut_off = area < max(MIN_VISIBLE_AREA, MIN_IN_FRAME * full_area(track.cutout, pose))
        sightings = [(_behind(seen, mask, whole), whole) for seen, whole in sightings]
        sightings.append((Sighting(Instance(track.category_id, mask), index, cut_off), area))
    picture = np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)
    return picture, [seen for seen, _ in sightings if seen.instance.mask.any()]


def write_video(out: Path, library: ObjectLibrary, photograph: NDArray[np.uint8], *, seed: int) -> None:
    """Write ``out/video.mp4`` and its annotations ``out/video.json``.

    Raises:
        OutputError: OpenCV cannot write such a file.
    """
    out.mkdir(parents=True, exist_ok=True)
    footage = make_footage(library, photograph, seed)
    write_annotations(out / "video.json", _record(out / "video.mp4", footage), seed=seed)


def extract_frames(video: Path, annotations: Path, folder: Path) -> list[Path]:
    """Save the annotated frames of a video under the names that its annotations give them.

    Then ``edgeblend.calibration.data.coco.read_coco(annotations, folder)`` reads them like any pictures.

    Returns:
        The files written, by rising frame.

    Raises:
        InputError: the video cannot be read, or ends before the last annotated frame.
        OutputError: a picture could not be written.
    """
    names = {
        int(image["frame"]): image["file_name"] for image in json.loads(annotations.read_text())["images"]
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    count = 0
    with closing(_frames(video)) as frames:
        for count, picture in enumerate(frames, start=1):
            if (name := names.get(count - 1)) is not None:
                paths.append(folder / name)
                if not cv2.imwrite(str(paths[-1]), picture):
                    raise OutputError(f"expected to write {paths[-1]}, which failed: is the disk full?")
    if len(paths) < len(names):
        raise InputError(f"{video}: expected frame {max(names)}, which is annotated, got {count} frames")
    return paths


def _record(path: Path, footage: Footage) -> Iterator[tuple[Json, list[Json]]]:
    """Write the video; yields its annotated frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FRAMES_PER_SECOND, SIZE[::-1])
    if not writer.isOpened():
        raise OutputError(f"expected to write {path} as MPEG-4 video, which this build of OpenCV cannot do")
    try:
        for frame in range(FRAMES):
            picture, sightings = render(footage, frame)
            writer.write(picture)
            if frame % ANNOTATED_EVERY == 0:
                name = f"video_{frame:06d}.png"
                image: Json = {"file_name": name, "frame": frame, "width": SIZE[1], "height": SIZE[0]}
                yield image, [_annotation_of(sighting) for sighting in sightings]
    finally:
        writer.release()


def _frames(video: Path) -> Generator[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        raise InputError(f"{video}: expected a video, got a file that OpenCV cannot open")
    try:
        while (read := capture.read())[0]:
            yield np.asarray(read[1], np.uint8)
    finally:
        capture.release()


def _annotation_of(sighting: Sighting) -> Json:
    """Return a sighting as COCO writes it; of a partial one, evaluation counts neither hit nor miss."""
    annotation = annotation_of(sighting.instance)
    return {**annotation, "iscrowd": int(sighting.partial), "track_id": sighting.track + 1}


def _behind(sighting: Sighting, mask: NDArray[np.bool_], whole: int) -> Sighting:
    """Return what is left to see of an object behind another's mask; ``whole`` is its area in the frame."""
    visible = sighting.instance.mask & ~mask
    hidden = int(visible.sum()) < max(MIN_VISIBLE_AREA, MIN_VISIBLE * whole)
    return Sighting(
        Instance(sighting.instance.category_id, visible), sighting.track, sighting.partial or hidden
    )


def _backdrop_at(backdrop: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return the cut (240, 320, 3) that the camera sees after a share of its way: across and back up."""
    room_y, room_x = backdrop.shape[0] - SIZE[0], backdrop.shape[1] - SIZE[1]
    left, top = share * room_x, math.sin(math.pi * share) * room_y
    shift = np.array([[1, 0, -left], [0, 1, -top]])
    return np.asarray(cv2.warpAffine(backdrop, shift, SIZE[::-1]), np.float32)
