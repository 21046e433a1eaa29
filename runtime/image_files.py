"""Whether the file of a picture holds all of its pixels, whatever else is wrong with it.

Cameras leave out end markers, editors write sizes that are 2 off, text chunks have wrong checksums: other
programs read such files, and so do we. What leaves pixels undecoded is refused.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable

from edgeblend.runtime.jpeg_files import whole_jpeg

# First bytes of files that people take for pictures; those without a check are left to OpenCV.
_KINDS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff", "JPEG"),
        (rb"\x89PNG\r\n\x1a\n", "PNG"),
        (rb"RIFF....WEBP", "WebP"),
        (rb"BM", "BMP"),
        (rb"II[*+]\0|MM\0[*+]", "TIFF"),
        (rb"P[1-7]\s", "PNM"),
        (rb"GIF8[79]a", "GIF"),
        (rb"....ftypavi[fs]", "AVIF"),
        (rb"....ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)", "HEIC"),
        (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG 2000"),
        (rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a", "JPEG XL"),
        (rb"%PDF-", "PDF"),
        (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01\xba", "video"),
    )
)
UNREADABLE_KINDS = frozenset({"HEIC", "JPEG XL", "PDF"})
"""What no build of OpenCV decodes."""


def kind_of(data: bytes) -> str | None:
    """Return what kind of file this is by its first bytes, such as "JPEG", or None."""
    return next((kind for pattern, kind in _KINDS if pattern.match(data)), None)


def whole_picture(data: bytes) -> bytes | None:
    """Return a picture's file as OpenCV decodes it, or None where some of its pixels are missing.

    The bytes are those that were given, unless something had to be mended that is no pixel. Of a kind that is
    not checked they are returned as they are.
    """
    check = _CHECKS.get(kind_of(data) or "")
    return data if check is None else check(data)


def _whole_png(data: bytes) -> bytes | None:
    """Leave out ancillary chunks with wrong checksums, and close the file where its end is missing.

    The pixels' own checksum (Adler-32) decides where the one of their chunk is wrong or missing.
    """
    if _is_intact(data):
        return data
    kept, pixels = [data[:8]], list[bytes]()
    doubtful = False
    position, kind = 8, b""
    while position + 8 <= len(data) and kind != b"IEND":
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        kind, body, checksum = (
            data[position + 4 : position + 8],
            data[position + 8 : end],
            data[end : end + 4],
        )
        chunk = _png_chunk(kind, body)
        intact = end + 4 <= len(data) and chunk[-4:] == checksum
        if kind == b"IDAT":
            pixels.append(body)
            doubtful |= not intact
        elif not intact and _is_critical(kind) and kind != b"IEND":
            return None
        if intact or kind == b"IDAT":
            kept.append(chunk)
        position = end + 4
    if (doubtful or kind != b"IEND") and not _inflates(pixels):
        return None
    return b"".join([*(chunk for chunk in kept if chunk[4:8] != b"IEND"), _png_chunk(b"IEND", b"")])


def _is_intact(data: bytes) -> bool:
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


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _is_critical(kind: bytes) -> bool:
    return not kind[0] & 0x20  # a capital letter


def _inflates(parts: Iterable[bytes]) -> bool:
    """Whether parts of a zlib stream hold all of it, its checksum included; keeps none of what it holds."""
    stream = zlib.decompressobj()
    try:
        for part in parts:
            while part and not stream.eof:
                stream.decompress(part, 1 << 20)
                part = stream.unconsumed_tail
    except zlib.error:
        return False
    return stream.eof


def _whole_webp(data: bytes) -> bytes | None:
    """Correct the file's size in its header where the pixels are all there."""
    position, end, pixels = 12, 12, 0
    exif = False
    while position + 8 <= len(data) and data[position : position + 4].isascii():
        kind, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        if position + 8 + size > len(data):
            break
        end = position + 8 + size
        pixels = pixels or (end if kind in (b"VP8 ", b"VP8L", b"ANMF") else 0)
        exif |= kind == b"EXIF"
        position = end + size % 2
    turned = data[12:16] == b"VP8X" and data[20:21] and data[20] & 0x08 and not exif
    if not pixels or turned:  # without its EXIF chunk nobody knows which way is up
        return None
    if pixels <= struct.unpack_from("<I", data, 4)[0] + 8 <= len(data):
        return data
    return data[:4] + struct.pack("<I", end + end % 2 - 8) + data[8:end] + bytes(end % 2)


def _whole_bmp(data: bytes) -> bytes | None:
    """Compute where the pixels end, since the sizes in headers are often wrong."""
    if len(data) < 26:
        return None
    offset, header = struct.unpack_from("<II", data, 10)
    compression = stated = 0
    if header == 12:
        width, height, _, bits = struct.unpack_from("<4H", data, 18)
    elif len(data) < 54:
        return None
    else:
        width, height, _, bits, compression, stated = struct.unpack_from("<iiHHII", data, 18)
    if compression in (1, 2):  # run lengths, whose extent only decoding shows
        return data if 0 < stated <= len(data) - offset else None
    row = (abs(width) * bits + 31) // 32 * 4
    missing = offset + row * abs(height) - len(data)
    if missing > row - (abs(width) * bits + 7) // 8:  # more than what fills the last row up
        return None
    return data + bytes(max(missing, 0))


# A TIFF's tags: where its strips or tiles begin, how long they are, and how much the pixels take.
_TIFF_PLACES = {273: 279, 324: 325}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_TIFF_TAGS = {*_TIFF_PLACES, *_TIFF_PLACES.values(), _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES}
_TIFF_TYPES = {3: "H", 4: "I", 16: "Q"}


def _whole_tiff(data: bytes) -> bytes | None:
    """Whether the first directory is there, which most writers put at the end, and all that it points to."""
    try:
        tags = _tiff_tags(data)
    except struct.error:  # beyond the end
        return None
    for place, length in _TIFF_PLACES.items():
        offsets, lengths = tags.get(place, ()), [float(size) for size in tags.get(length, ())]
        if len(lengths) == len(offsets) > 0:
            lengths[-1] -= max(sum(lengths) - _tiff_bytes(tags), 0)
            if any(offset + size > len(data) for offset, size in zip(offsets, lengths, strict=True)):
                return None
        if any(offset >= len(data) for offset in offsets):
            return None
    return data


def _tiff_bytes(tags: dict[int, tuple[int, ...]]) -> float:
    """Return how many bytes the pixels take; inf where they are compressed, and nobody knows."""
    known = all(tags.get(tag) for tag in (_WIDTH, _HEIGHT, _BITS))
    if not known or tags.get(_COMPRESSION, (1,)) != (1,):
        return float("inf")
    row = tags[_WIDTH][0] * tags[_BITS][0] * tags.get(_SAMPLES, (1,))[0]
    return tags[_HEIGHT][0] * ((row + 7) // 8)


def _tiff_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """Return the whole numbers of the first directory by tag; a struct.error where it is cut."""
    order = "<" if data.startswith(b"II") else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43  # BigTIFF: 64-bit offsets
    word, number, entry_size, head = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 2)
    (directory,) = struct.unpack_from(order + word, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + number, data, directory)
    struct.unpack_from(
        order + word, data, directory + head + entry_size * count
    )  # the next directory's place
    tags = {}
    for start in range(directory + head, directory + head + entry_size * count, entry_size):
        tag, kind, values = struct.unpack_from(order + "HH" + word, data, start)
        if kind in _TIFF_TYPES and tag in _TIFF_TAGS:
            layout = order + str(values) + _TIFF_TYPES[kind]
            inline = start + 4 + struct.calcsize(order + word)
            if struct.calcsize(layout) > struct.calcsize(word):
                (inline,) = struct.unpack_from(order + word, data, inline)
            tags[tag] = struct.unpack_from(layout, data, inline)
    return tags


# Width, height and largest value of a PGM or PPM, with comments in between.
_PNM_HEADER = re.compile(rb"P[56](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")


def _whole_pnm(data: bytes) -> bytes | None:
    if data[1:2] not in b"56":
        return data  # as text, of single bits, or PAM: OpenCV counts itself
    header = _PNM_HEADER.match(data)
    if header is None:
        return None
    width, height, largest = (int(number) for number in header.groups())
    value_bytes = (3 if data[1:2] == b"6" else 1) * (2 if largest > 255 else 1)
    return data if header.end() + width * height * value_bytes <= len(data) else None


_CHECKS: dict[str, Callable[[bytes], bytes | None]] = {
    "JPEG": whole_jpeg,
    "PNG": _whole_png,
    "WebP": _whole_webp,
    "BMP": _whole_bmp,
    "TIFF": _whole_tiff,
    "PNM": _whole_pnm,
}
