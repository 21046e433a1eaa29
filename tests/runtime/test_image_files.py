import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from edgeblend.errors import InputError
from edgeblend.runtime.image_files import kind_of, whole_picture
from edgeblend.runtime.images import read_image


def picture(height=48, width=67):
    """A BGR picture with detail in it, whose sides are no multiple of a JPEG's 16."""
    noise = np.random.default_rng(3).integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))


def saved(kind, image=None, **options):
    buffer = io.BytesIO()
    (image or Image.fromarray(picture()[..., ::-1])).save(buffer, kind, **options)
    return buffer.getvalue()


def encoded(suffix, *options):
    return cv2.imencode(suffix, picture(), *options)[1].tobytes()


def chunk(kind, body, checksum=None):
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def decoded(data):
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        return None


def replaced(data, place, layout, value):
    changed = bytearray(data)
    struct.pack_into(layout, changed, place, value)
    return bytes(changed)


def directory_first(data):
    """The TIFF of one strip that Pillow writes, with its pixels moved to the end."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    for place in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack_from("<HHII", data, place)
        if tag == 273:
            data = replaced(data, place + 8, "<I", len(data)) + data[value : value + 48 * 67 * 3]
    return data


JPEG = saved("JPEG")
PROGRESSIVE = saved("JPEG", progressive=True)
RESTARTS = saved("JPEG", restart_marker_blocks=2)
PNG = saved("PNG")
BMP = saved("BMP")
WEBP = saved("WEBP")
TIFF = saved("TIFF")
IDAT = PNG.index(b"IDAT") - 4
IEND = PNG.index(b"IEND") - 4

FIRST = directory_first(TIFF)

WHOLE = {
    "jpeg": JPEG,
    "jpeg, fine": saved("JPEG", quality=98, subsampling=0),
    "jpeg, progressive": PROGRESSIVE,
    "jpeg, restarts": RESTARTS,
    "jpeg, grey": saved("JPEG", Image.fromarray(picture()[..., 0])),
    "png": PNG,
    "png, palette": saved("PNG", Image.fromarray(picture()[..., ::-1]).quantize(64)),
    "webp": WEBP,
    "webp, lossless": saved("WEBP", lossless=True),
    "webp, turned": saved("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    "bmp": BMP,
    "bmp, palette": saved("BMP", Image.fromarray(picture()[..., ::-1]).quantize(64)),
    "tiff": TIFF,
    "tiff, lzw": saved("TIFF", compression="tiff_lzw"),
    "tiff, jpeg": saved("TIFF", compression="jpeg"),
    "tiff, big": saved("TIFF", big_tiff=True),
    "tiff, directory first": FIRST,
    "tiff, by OpenCV": encoded(".tif"),
    "ppm": encoded(".ppm"),
    "ppm, as text": encoded(".ppm", [cv2.IMWRITE_PXM_BINARY, 0]),
    "pam": encoded(".pam"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_not_touched(name):
    assert whole_picture(WHOLE[name]) is WHOLE[name]


@pytest.mark.parametrize("tail", [b"garbage" * 9, bytes(512), b"\xff\xd9"], ids=["text", "zeros", "a marker"])
@pytest.mark.parametrize("name", WHOLE)
def test_what_follows_a_file_does_not_matter(name, tail):
    mended = whole_picture(WHOLE[name] + tail)
    assert np.array_equal(decoded(mended), decoded(WHOLE[name]))


@pytest.mark.parametrize("name", WHOLE)
def test_of_a_cut_file_every_pixel_is_there_or_none(name):
    whole = WHOLE[name]
    wanted = decoded(whole)
    places = {*range(1, len(whole), len(whole) // 150), *range(len(whole) - 40, len(whole))}
    accepted = 0
    for place in places:
        mended = whole_picture(whole[:place])
        image = None if mended is None else decoded(mended)
        if image is not None:
            accepted += 1
            assert np.array_equal(image, wanted), f"cut at {place} of {len(whole)}"
    assert accepted < len(places) / 2


def renamed_restart(data, number, other):
    return data.replace(bytes([0xFF, 0xD0 + number]), bytes([0xFF, 0xD0 + other]), 1)


def stated_length(data, tag, value):
    """A TIFF, little-endian, with another first value of a tag that its directory holds itself."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    places = range(directory + 2, directory + 2 + 12 * count, 12)
    (place,) = (place for place in places if struct.unpack_from("<H", data, place)[0] == tag)
    return replaced(data, place + 8, "<I", value)


MENDED = {
    "jpeg without its end": (JPEG, JPEG[:-2]),
    "jpeg with half of its end": (JPEG, JPEG[:-1]),
    "jpeg without its end, filled up": (JPEG, JPEG[:-2] + bytes(700)),
    "progressive jpeg without its end": (PROGRESSIVE, PROGRESSIVE[:-2]),
    "jpeg with restarts without its end": (RESTARTS, RESTARTS[:-2]),
    "jpeg with a wrong restart": (RESTARTS, renamed_restart(RESTARTS, 2, 5)),
    "jpeg with bytes between segments": (JPEG, JPEG.replace(b"\xff\xdb", b"\0\1\2\xff\xdb", 1)),
    "png without IEND": (PNG, PNG[:IEND]),
    "png with half an IEND": (PNG, PNG[:-6]),
    "png with a wrong checksum of IEND": (PNG, PNG[:-4] + bytes(4)),
    "png with a wrong checksum of text": (PNG, PNG[:33] + chunk(b"tEXt", b"k\0v", 0) + PNG[33:]),
    "png with text cut after the pixels": (PNG, PNG[:IEND] + chunk(b"tEXt", b"k\0" + bytes(99))[:50]),
    "png with a wrong checksum of pixels that are right": (PNG, PNG[: IEND - 4] + bytes(4) + PNG[IEND:]),
    "bmp whose size is 2 too large": (BMP, replaced(BMP, 2, "<I", len(BMP) + 2)),
    "bmp whose size is 0": (BMP, replaced(BMP, 2, "<I", 0)),
    "bmp without what fills its last row up": (BMP, BMP[:-3]),
    "tiff whose strip is said to be too long": (TIFF, stated_length(TIFF, 279, len(TIFF))),
    "webp whose size is too large": (WEBP, replaced(WEBP, 4, "<I", len(WEBP))),
    "webp whose size is too small": (WEBP, replaced(WEBP, 4, "<I", 20)),
    "webp whose size is 0": (WEBP, replaced(WEBP, 4, "<I", 0)),
}


@pytest.mark.parametrize("name", MENDED)
def test_a_file_with_all_its_pixels_is_read(tmp_path, name):
    whole, given = MENDED[name]
    (tmp_path / "given").write_bytes(given)
    assert np.array_equal(read_image(tmp_path / "given"), decoded(whole))


REFUSED = {
    "jpeg cut, then filled with zeros": JPEG[: len(JPEG) // 2] + bytes(len(JPEG)),
    "progressive jpeg without its last scan": PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")],
    "jpeg with restarts cut before one": RESTARTS[: RESTARTS.index(b"\xff\xd0")],
    "jpeg of a header": JPEG[: JPEG.index(b"\xff\xda")],
    "png without pixels": PNG[:IDAT] + PNG[IEND:],
    "png with a flipped bit": replaced(PNG, IDAT + 60, "B", PNG[IDAT + 60] ^ 1),
    "png with a wrong checksum of its header": PNG[:29] + bytes(4) + PNG[33:],
    "png without IEND and a chunk of pixels": PNG[: IDAT + 200],
    "bmp larger than its file": replaced(BMP, 22, "<i", 49),
    "webp cut, and its size corrected": replaced(WEBP[:-40], 4, "<I", len(WEBP) - 48),
    "tiff whose strip lies outside": stated_length(TIFF, 273, len(TIFF) + 5),
    "tiff cut within its last strip": FIRST[:-20],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_without_all_its_pixels_is_refused(tmp_path, name):
    (tmp_path / "given").write_bytes(REFUSED[name])
    with pytest.raises(InputError, match="cut short or damaged|cannot decode"):
        read_image(tmp_path / "given")


CUT_AND_CLOSED = {name: whole for name, whole in WHOLE.items() if name.startswith("jpeg")} | {
    "jpeg, cmyk": saved("JPEG", Image.fromarray(picture()[..., ::-1]).convert("CMYK"))
}


@pytest.mark.parametrize("name", CUT_AND_CLOSED)
def test_a_jpeg_whose_end_is_marked_too_early_is_refused(tmp_path, name):
    """At most the last block differs, of 16x16 pixels and one that its colours reach into."""
    whole = CUT_AND_CLOSED[name]
    last_scan = whole.rindex(b"\xff\xda")
    for place in range(whole.index(b"\xff\xda") + 14, len(whole) - 2, len(whole) // 1000 + 1):
        if "progressive" in name and place > last_scan:
            break  # what the last scan adds is not looked for
        (tmp_path / "given").write_bytes(whole[:place] + b"\xff\xd9")
        with contextlib.suppress(InputError):
            other = (read_image(tmp_path / "given") != decoded(whole)).any(axis=-1)
            assert not other[:-17].any()
            assert not other[:, :-17].any()
    (tmp_path / "given").write_bytes(whole)
    assert np.array_equal(read_image(tmp_path / "given"), decoded(whole))


@pytest.mark.parametrize("turn", [None, 3, 6, 8])
@pytest.mark.parametrize("grey", [127, 128, 129])
def test_a_jpeg_that_ends_in_grey_is_whole(tmp_path, grey, turn):
    image = picture()
    image[20:] = grey
    exif = Image.Exif()
    if turn:
        exif[0x0112] = turn
    data = saved("JPEG", Image.fromarray(image[..., ::-1]), exif=exif)
    (tmp_path / "whole").write_bytes(data)
    assert np.array_equal(read_image(tmp_path / "whole"), decoded(data))
    (tmp_path / "cut").write_bytes(data[: data.index(b"\xff\xda") + 200] + b"\xff\xd9")
    with pytest.raises(InputError, match="cut short or damaged"):
        read_image(tmp_path / "cut")


def test_a_webp_without_the_chunk_that_turns_it_is_refused():
    turned = WHOLE["webp, turned"]
    assert whole_picture(turned[: turned.index(b"EXIF")]) is None


def test_kinds():
    kinds = {name.partition(",")[0]: kind_of(data) for name, data in WHOLE.items()}
    assert kinds == {
        "jpeg": "JPEG",
        "png": "PNG",
        "webp": "WebP",
        "bmp": "BMP",
        "tiff": "TIFF",
        "ppm": "PNM",
        "pam": "PNM",
    }
    assert kind_of(b"") is None and kind_of(b"RIFF\4\0\0\0WAVE") is None
