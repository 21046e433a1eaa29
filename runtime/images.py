"""Pictures in: whatever people hand over becomes (H, W, 3) uint8 BGR, or an error that says why not.

OpenCV's decoders differ between versions in what they make of a damaged file: some hand out grey
filler with a line on stderr, some nothing. So files are checked for completeness before they are
decoded, which also keeps most of that noise from appearing. OpenCV's log level is left alone: it
belongs to the whole process, and so to the application.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.errors import InputError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""What every OpenCV build reads, in lower case."""

_EXPECTED = "expected an (H, W, 3) uint8 BGR array (grey, BGRA and uint16 are served too)"


def to_bgr8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return ``array`` as (H, W, 3) uint8 BGR; one that is so already is returned itself, not copied.

    Grey, (H, W) or (H, W, 1), fills the three channels; BGRA loses its alpha; uint16 v becomes
    v * 255 / 65535, rounded. Anything else is an InputError.
    """
    _check_picture(array)
    if array.dtype != np.uint8:
        # In float32, but right: v / 257 is never nearer than 0.5 / 257 to a tie.
        native = array.astype(np.uint16, copy=False)
        array = np.asarray(cv2.convertScaleAbs(native, alpha=255 / 65535)).reshape(array.shape)
    if array.ndim == 2 or array.shape[2] == 1:
        array = np.asarray(cv2.cvtColor(array, cv2.COLOR_GRAY2BGR))
    elif array.shape[2] == 4:
        array = np.asarray(cv2.cvtColor(array, cv2.COLOR_BGRA2BGR))
    return array


def read_image(path: str | PathLike[str]) -> NDArray[np.uint8]:
    """Return the picture in a file as (H, W, 3) uint8 BGR, turned upright as its EXIF tag says.

    16-bit, grey and RGBA files are served as in :func:`to_bgr8`. A file that is missing, empty, cut
    short, damaged, no picture, or a picture of floats is an InputError.
    """
    path = Path(path)
    data = _read_bytes(path)
    if any(data.startswith(magic) and not is_complete(data) for magic, is_complete in _COMPLETENESS):
        raise InputError(f"{path}: the picture is cut short or damaged ({len(data)} bytes); copy it again")
    try:
        # From memory, because cv2.imread cannot open every Unicode path on Windows.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise InputError(f"{path}: OpenCV cannot decode it: {' '.join(str(error).split())}") from None
    if image is None:
        raise InputError(
            f"{path}: not a picture that OpenCV can decode; expected JPEG, PNG, WebP, BMP or TIFF"
        )
    try:
        return to_bgr8(image)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check_picture(array: object) -> None:
    """Raise InputError unless ``array`` has a shape and dtype that to_bgr8 serves."""
    if not isinstance(array, np.ndarray):
        raise InputError(f"{_EXPECTED}, got {_describe(array)}")
    came = f"{_EXPECTED}, got shape {array.shape} {array.dtype}"
    if array.size == 0:
        raise InputError(f"{came}; the array is empty, check where it was cut or read")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            raise InputError(f"{came}; channels come last, use array.transpose(1, 2, 0)")
        raise InputError(f"{came}; pass one picture at a time")
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise InputError(f"{came}; scale it to 0..255 and convert it with .astype(np.uint8)")


def _describe(value: object) -> str:
    """Say what a value that is no array is, and how to make it one."""
    if value is None:
        return "None; cv2.imread and VideoCapture.read return it where there is nothing to read"
    if isinstance(value, str | PathLike):
        return f"the path {value!r}; read it with edgeblend.runtime.images.read_image"
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if kind.startswith("PIL."):
        return f"a {kind}; use np.asarray(image.convert('RGB'))[..., ::-1]"
    return f"a {kind}; convert it to a NumPy array"


def _read_bytes(path: Path) -> bytes:
    """Return the bytes of a file that has any."""
    if path.is_dir():
        raise InputError(f"{path}: expected a picture file, got a folder; name a file in it")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not data:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again")
    return data


# A marker that is neither a stuffed zero nor a restart inside entropy-coded data, nor a fill byte.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_BARE_MARKERS = {0xD8, 0x01}  # start of image, TEM: no length follows


def _jpeg_is_complete(data: bytes) -> bool:
    """Whether the end-of-image marker comes after the segments (an EXIF thumbnail has its own)."""
    position = 2
    while match := _JPEG_MARKER.search(data, position):
        marker, position = data[match.start() + 1], match.end()
        if marker == 0xD9:
            return True
        if marker not in _JPEG_BARE_MARKERS:
            position += int.from_bytes(data[position : position + 2], "big")
    return False


def _png_is_complete(data: bytes) -> bool:
    """Whether every chunk up to IEND is there with the right checksum."""
    position = 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        body = memoryview(data)[position + 4 : end]
        if zlib.crc32(body) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if data.startswith(b"IEND", position + 4):
            return True
        position = end + 4
    return False


def _riff_is_complete(data: bytes) -> bool:
    return len(data) >= 12 and struct.unpack_from("<I", data, 4)[0] + 8 <= len(data)


def _bmp_is_complete(data: bytes) -> bool:
    return len(data) >= 26 and struct.unpack_from("<I", data, 2)[0] <= len(data)


def _tiff_is_complete(data: bytes) -> bool:
    """Whether the first directory is there: most writers put it at the end."""
    order = "<" if data.startswith(b"I") else ">"
    directory = struct.unpack_from(order + "I", data, 4)[0] if len(data) >= 8 else len(data)
    if directory + 2 > len(data):
        return False
    entries = struct.unpack_from(order + "H", data, directory)[0]
    return bool(directory + 2 + 12 * entries + 4 <= len(data))


# Width, height and largest value of a PGM or PPM, with comments in between.
_PNM_HEADER = re.compile(rb"P[56](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")


def _pnm_is_complete(data: bytes) -> bool:
    header = _PNM_HEADER.match(data)
    if header is None:
        return False
    width, height, largest = (int(number) for number in header.groups())
    value_bytes = (3 if data[1:2] == b"6" else 1) * (2 if largest > 255 else 1)
    return header.end() + width * height * value_bytes <= len(data)


_COMPLETENESS: tuple[tuple[bytes, Callable[[bytes], bool]], ...] = (
    (b"\xff\xd8\xff", _jpeg_is_complete),
    (b"\x89PNG\r\n\x1a\n", _png_is_complete),
    (b"RIFF", _riff_is_complete),
    (b"BM", _bmp_is_complete),
    (b"II*\0", _tiff_is_complete),
    (b"MM\0*", _tiff_is_complete),
    (b"P5", _pnm_is_complete),
    (b"P6", _pnm_is_complete),
)
