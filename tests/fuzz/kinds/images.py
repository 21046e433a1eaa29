"""Pictures of every format that the package reads, damaged."""

from __future__ import annotations

import struct
import zlib
from functools import partial
from pathlib import Path
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend import read_image
from edgeblend.errors import InputError

from ..mutate_bytes import mutate_bytes
from ..samples import files
from .kind import Kind, expect

_SUFFIXES = {"jpeg": (".jpg",), "png": (".png",), "bmp": (".bmp",), "webp": (".webp",), "tiff": (".tif",)} | {
    "pnm": (".ppm", ".pgm")
}


def _samples(name: str) -> dict[str, bytes]:
    return {file: data for file, data in files("images").items() if file.endswith(_SUFFIXES[name])}


def _write(name: str, folder: Path) -> None:
    file, data = next(iter(_samples(name).items()))
    (folder / file).write_bytes(data)


def _make(name: str, random: Random, folder: Path) -> None:
    samples = _samples(name)
    file = random.choice(list(samples))
    others = list((samples if random.random() < 0.8 else files("images")).values())
    how = random.choice(("bytes", "chunks", "pixels")) if name == "png" else "bytes"
    if how == "pixels":
        data = _with_mutated_pixels(samples[file], random)
    else:
        data = mutate_bytes(samples[file], random, others=others)
    if how == "chunks":
        data = with_right_checksums(data)
    (folder / file).write_bytes(data)


def with_right_checksums(data: bytes) -> bytes:
    """Return a PNG whose chunks have the checksums of what is in them, so that decoders look at it."""
    fixed, place = bytearray(data), 8
    while place + 12 <= len(fixed):
        end = place + 8 + struct.unpack_from(">I", fixed, place)[0]
        if end + 4 > len(fixed):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(memoryview(fixed)[place + 4 : end]))
        place = end + 4
    return bytes(fixed)


def _with_mutated_pixels(data: bytes, random: Random) -> bytes:
    """Return a PNG whose pixels were mutated before they were compressed, their filters among them."""
    header, chunks, pixels, place = data[:8], [], b"", 8
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IDAT":
            pixels += data[place + 8 : place + 8 + length]
        else:
            chunks.append((kind, data[place + 8 : place + 8 + length]))
        place += 12 + length
    raw = mutate_bytes(zlib.decompress(pixels), random)
    # One stored block, written by hand: what zlib makes of level 0 differs between its versions.
    block = struct.pack("<BHH", 1, len(raw), len(raw) ^ 0xFFFF) + raw
    chunks.insert(-1, (b"IDAT", b"\x78\x01" + block + struct.pack(">I", zlib.adler32(raw))))
    made = header
    for kind, body in chunks:
        made += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return made


def _run(folder: Path) -> None:
    (path,) = folder.iterdir()
    picture = read_image(path)
    expect(picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8, "not a BGR picture")
    data = path.read_bytes()
    # OpenCV makes room for what a PNG's chunk claims to hold, before it looks at what is there.
    decoded = None if _claims_a_large_chunk(data) else _decoded(data)
    # A reader may mend what OpenCV refuses; what OpenCV reads it must not read otherwise.
    if decoded is not None:
        expect(np.array_equal(picture, decoded), "not what OpenCV decodes")


def _claims_a_large_chunk(data: bytes) -> bool:
    place, length = 8, 0
    while data.startswith(b"\x89PNG") and place + 4 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        place += 12 + length
    return length > 1 << 26  # the last one, which ends behind the file


def _decoded(data: bytes) -> NDArray[np.uint8] | None:
    """Return what OpenCV makes of a file, in 8 bits a channel."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    if image.dtype == np.uint16:
        image = np.round(image / 257).astype(np.uint8)
    return np.asarray(image if image.ndim == 3 else np.dstack([image] * 3), np.uint8)


KINDS = tuple(
    Kind(f"image-{name}", partial(_make, name), _run, (InputError,), partial(_write, name), share=3)
    for name in _SUFFIXES
)
