"""Whether a JPEG holds all of its pixels, also where the marker at its end is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

# A marker that is neither a stuffed zero nor a restart inside entropy-coded data, nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_BARE_MARKERS = {0xD8, 0x01}  # start of image, TEM: no length follows
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # tables and an extension lie between the frame headers
_SCAN, _END, _RESTART_INTERVAL = 0xDA, 0xD9, 0xDD
_COEFFICIENTS = 64
_END_MARKER = b"\xff\xd9"
_GOING_ON = tuple(
    bytes((first + 37 * i * i + 91 * i) % 251 for i in range(1024)) for first in (0x2B, 0xD4, 0x95, 0x6A)
)
"""Entropy-coded data to go on with, other than the zeros that decoders go on with. So much, because blocks
that come next may lie outside the picture; so many, because a bit more or less of the last block may change
no pixel: of 110,000 cuts of 100 files, two let 3 pass, and four none."""


def whole_jpeg(data: bytes) -> bytes | None:
    """Return a JPEG with the marker at its end, or None where pixels are missing.

    Cheap cameras and MJPEG streams leave that marker out. Then the file is whole if it holds every scan, and
    if nothing that follows its last byte changes a pixel: a decoder would read from there what is missing.
    libjpeg says on standard error that it met data which it did not need.
    """
    header = _walk(data)
    if header.ended:
        return data
    if not header.has_every_scan:
        return None
    data = _without_filling(data)
    shown = _decode(data + _END_MARKER)
    for following in _GOING_ON:
        restart = _next_restart(data) + following if header.restarts else b""
        other = None if shown is None else _decode(data + following + restart + _END_MARKER)
        if shown is None or other is None or not np.array_equal(shown, other):
            return None
    return data + _END_MARKER


@dataclass(slots=True)
class _Header:
    """What a file's markers say."""

    ended: bool = False
    """Whether its end is marked; an EXIF thumbnail's is not meant."""
    restarts: bool = False
    levels: dict[int, list[int | None]] = field(default_factory=dict)
    """Per component: down to which bit each of its 64 coefficients is there."""

    @property
    def has_every_scan(self) -> bool:
        """Whether all coefficients are there down to their lowest bit."""
        return bool(self.levels) and all(level == 0 for each in self.levels.values() for level in each)


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else image.astype(np.uint8, copy=False)


def _next_restart(data: bytes) -> bytes:
    """Return the restart marker that comes next; they are numbered from 0 to 7 again and again."""
    earlier = _RESTART.findall(data, data.rindex(bytes([0xFF, _SCAN])))
    return bytes([0xFF, 0xD0 + (earlier[-1][1] + 1) % 8 if earlier else 0xD0])


def _walk(data: bytes) -> _Header:
    header, position = _Header(), 2
    while match := _MARKER.search(data, position):
        marker, position = data[match.start() + 1], match.end()
        if marker == _END:
            header.ended = True
            break
        if marker in _BARE_MARKERS:
            continue
        segment = data[position + 2 : position + int.from_bytes(data[position : position + 2], "big")]
        if marker in _FRAMES:
            header.levels = {number: [None] * _COEFFICIENTS for number in segment[6::3]}
        elif marker == _RESTART_INTERVAL:
            header.restarts = any(segment)
        elif marker == _SCAN:
            _note_scan(segment, header.levels)
        position += 2 + len(segment)
    return header


def _note_scan(segment: bytes, levels: dict[int, list[int | None]]) -> None:
    count = segment[0] if segment else 0
    if len(segment) < 4 + 2 * count:
        return  # cut
    first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
    for number in segment[1 : 1 + 2 * count : 2]:
        if number in levels:
            for coefficient in range(first, min(last, _COEFFICIENTS - 1) + 1):
                levels[number][coefficient] = bits & 15


def _without_filling(data: bytes) -> bytes:
    """Return data without zeros that fill a sector up, or that stand for what has not been copied yet."""
    filled = data.rstrip(b"\0")
    if filled.endswith(b"\xff"):  # a zero after 0xFF belongs to the data, 0xFF alone is half a marker
        return filled + b"\0" if len(filled) < len(data) else filled.rstrip(b"\xff")
    return filled
