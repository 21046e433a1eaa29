import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from edgeblend.errors import InputError
from edgeblend.runtime.images import IMAGE_SUFFIXES, read_image, stored_size, to_bgr8, to_frame


def picture(height=24, width=40):
    """A BGR picture with a gradient in each channel, so that no two corners are alike."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], 2).astype(
        np.uint8
    )


def encode(suffix, image):
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def suffix_picture(suffix, *size):
    """A picture that a file with this suffix can hold."""
    return picture(*size)[..., 0] if suffix in (".pbm", ".pgm") else picture(*size)


@pytest.fixture
def write(tmp_path):
    def write_file(data, name="picture.bin"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write_file


def assert_one_line(excinfo, *words):
    message = str(excinfo.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# Arrays


def test_bgr_is_returned_itself_whatever_its_strides():
    for image in (picture(), picture()[::-2, ::-1], picture()[..., ::-1], picture().transpose(1, 0, 2)):
        assert to_bgr8(image) is image


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1)])
def test_grey_fills_three_channels(shape):
    bgr = to_bgr8(np.array([0, 7, 100, 255], np.uint8).reshape(shape))
    assert bgr.tolist() == [[[0] * 3, [7] * 3], [[100] * 3, [255] * 3]]


def test_alpha_is_dropped():
    assert to_bgr8(np.array([[[1, 2, 3, 0], [4, 5, 6, 255]]], np.uint8)).tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_every_uint16_value_is_scaled_and_rounded():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.round(values.astype(float) * 255 / 65535).astype(np.uint8)
    assert np.array_equal(to_bgr8(values)[..., 0], expected)
    assert np.array_equal(to_bgr8(values.astype(">u2"))[..., 2], expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (1, 1, 3), (1, 1, 4), (1, 5000), (5000, 1, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_thin_pictures_keep_their_shape(shape, dtype):
    assert to_bgr8(np.full(shape, 9, dtype)).shape == (*shape[:2], 3)


def test_strided_grey_and_bgra_are_served():
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert np.array_equal(to_bgr8(grey[::-1, ::2])[..., 1], grey[::-1, ::2])
    bgra = np.arange(96, dtype=np.uint16).reshape(4, 6, 4) * 257
    assert np.array_equal(to_bgr8(bgra[:, ::-1]), bgra[:, ::-1, :3] // 257)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((4, 5, 3), np.float32), ["(4, 5, 3) float32", "astype(np.uint8)"]),
        (np.zeros((4, 5), bool), ["(4, 5) bool", "astype(np.uint8)"]),
        (np.zeros((4, 5, 3), np.int32), ["int32"]),
        (np.zeros((4, 5, 3), np.uint32), ["uint32"]),
        (np.zeros((4, 5, 3), object), ["object"]),
        (np.zeros((3, 40, 50), np.uint8), ["(3, 40, 50)", "transpose(1, 2, 0)"]),
        (np.zeros((4, 5, 2), np.uint8), ["(4, 5, 2)"]),
        (np.zeros((1, 4, 5, 3), np.uint8), ["(1, 4, 5, 3)", "one picture"]),
        (np.zeros(5, np.uint8), ["(5,)"]),
        (np.uint8(5) * np.ones((), np.uint8), ["uint8"]),
        (np.zeros((0, 5, 3), np.uint8), ["(0, 5, 3)", "empty"]),
        (None, ["None", "cv2.imread"]),
        ("street.jpg", ["'street.jpg'", "read_image"]),
        (Image.new("RGB", (3, 3)), ["PIL.Image.Image", "[..., ::-1]"]),
        ([[1, 2], [3, 4]], ["builtins.list", "NumPy array"]),
    ],
    ids=lambda given: (
        " ".join(given) if isinstance(given, list) and given and isinstance(given[0], str) else ""
    ),
)
def test_anything_else_is_refused_with_what_to_do(value, words):
    with pytest.raises(InputError) as excinfo:
        to_bgr8(value)
    assert_one_line(excinfo, "(H, W, 3) uint8 BGR", *words)


# Files


@pytest.mark.parametrize("suffix", [".bmp", ".png", ".ppm", ".tif"])
def test_lossless_files_come_back_as_written(write, suffix):
    assert np.array_equal(read_image(write(encode(suffix, picture()))), picture())


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_files_come_back_near(write, suffix):
    assert np.abs(read_image(write(encode(suffix, picture()))).astype(int) - picture()).mean() < 3


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_suffix_is_written_and_read(write, suffix):
    data = encode({".jfif": ".jpg"}.get(suffix, suffix), suffix_picture(suffix, 48, 64))
    assert read_image(write(data, f"a{suffix}")).shape == (48, 64, 3)


def test_text_paths_and_unicode_names(write):
    path = write(encode(".png", picture()), "улица 街 é.png")
    assert np.array_equal(read_image(str(path)), picture())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_files_are_scaled(write, suffix):
    image = picture().astype(np.uint16) * 257
    assert np.array_equal(read_image(write(encode(suffix, image))), picture())


def test_grey_and_transparent_files(write):
    grey = picture()[..., 0]
    assert np.array_equal(read_image(write(encode(".png", grey))), np.dstack([grey] * 3))
    transparent = np.dstack([picture(), np.zeros((24, 40), np.uint8)])
    assert np.array_equal(read_image(write(encode(".png", transparent))), picture())


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1)])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_thin_files(write, shape, suffix):
    assert read_image(write(encode(suffix, picture(*shape)))).shape == (*shape, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    stored = Image.fromarray(picture()[..., ::-1])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95, subsampling=0)
    with Image.open(tmp_path / "turned.jpg") as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))[..., ::-1]
    image = read_image(tmp_path / "turned.jpg")
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() < 12


@pytest.mark.long
def test_100_megapixels(write):
    image = read_image(write(encode(".tif", np.full((10_000, 10_000), 77, np.uint8))))
    assert image.shape == (10_000, 10_000, 3)
    assert image[::999, ::999].min() == image[::999, ::999].max() == 77


@pytest.mark.parametrize("suffix", [".tif", ".hdr", ".pfm"])
def test_float_files_are_refused(write, suffix):
    path = write(encode(suffix, picture().astype(np.float32)))
    with pytest.raises(InputError) as excinfo:
        read_image(path)
    assert_one_line(excinfo, str(path), "float32", "(24, 40, 3)")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(99), ["HEIC", "convert it to JPEG or PNG"]),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), ["JPEG XL"]),
        (b"%PDF-1.7\n", ["PDF"]),
        (b"\0\0\0\x18ftypisom" + bytes(99), ["a video, not a picture", "quantize --calibration"]),
        (b"\x1aE\xdf\xa3" + bytes(99), ["a video, not a picture"]),
        (b"GIF89a" + bytes(5), ["cannot decode this GIF picture (11 bytes)", "copy it again"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_no_picture_to_opencv_is_called_by_its_name(write, data, words):
    with pytest.raises(InputError) as excinfo:
        read_image(write(data))
    assert_one_line(excinfo, "picture.bin", *words)


def test_the_size_as_stored_is_not_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (40, 24, 3)
    assert stored_size(tmp_path / "turned.jpg") == (24, 40)


def test_missing_folder_and_empty_files(tmp_path, write):
    for path, words in [
        (tmp_path / "none.png", "no such file"),
        (tmp_path, "folder"),
        (write(b""), "empty (0 bytes)"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (tmp_path / "x\0.png", "cannot be read"),
    ]:
        with pytest.raises(InputError) as excinfo:
            read_image(path)
        assert_one_line(excinfo, str(path), words)


@pytest.mark.parametrize(
    "data", [b"x", b"hello\n" * 50, b"RIFF\4\0\0\0WAVE", b"\x76\x2f\x31\x01" + bytes(300)], ids=repr
)
def test_other_files_are_no_picture(write, data):
    with pytest.raises(InputError) as excinfo:
        read_image(write(data))
    # OpenCV 4 raises for what looks like OpenEXR, which it leaves switched off.
    assert "not a picture" in str(excinfo.value) or "cannot decode" in str(excinfo.value)
    assert_one_line(excinfo, "picture.bin")


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.98])
@pytest.mark.parametrize("suffix", [".bmp", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".webp"])
def test_cut_files_are_found_before_the_decoder_complains(write, capfd, suffix, kept):
    data = encode(suffix, suffix_picture(suffix, 120, 160))
    with pytest.raises(InputError) as excinfo:
        read_image(write(data[: int(len(data) * kept)]))
    assert_one_line(excinfo, "cut short or damaged")
    out, err = capfd.readouterr()
    # Only decoding shows where a JPEG's pixels end, and libjpeg's own lines cannot be switched off.
    assert out == "" and all(line.startswith("Corrupt JPEG data") for line in err.splitlines())
    assert err == "" or suffix == ".jpg"


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.98])
@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES - {".jfif"}))
def test_cut_files_are_refused(write, suffix, kept):
    data = encode(suffix, suffix_picture(suffix, 120, 160))
    with pytest.raises(InputError) as excinfo:
        read_image(write(data[: int(len(data) * kept)]))
    assert_one_line(excinfo, "damaged")


def test_a_cut_jpeg_is_not_saved_by_the_end_marker_of_its_thumbnail(tmp_path):
    thumbnail = encode(".jpg", picture(8, 8))
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    data = encode(".jpg", picture())
    whole = data[:2] + app1 + data[2:]
    (tmp_path / "whole.jpg").write_bytes(whole + b"trailing bytes")
    (tmp_path / "cut.jpg").write_bytes(whole[:-8])
    assert read_image(tmp_path / "whole.jpg").shape == (24, 40, 3)
    with pytest.raises(InputError, match="cut short"):
        read_image(tmp_path / "cut.jpg")


def test_a_progressive_jpeg_ends_after_its_last_scan(tmp_path):
    Image.fromarray(picture(64, 64)).save(tmp_path / "whole.jpg", progressive=True)
    data = (tmp_path / "whole.jpg").read_bytes()
    assert data.count(b"\xff\xda") > 1
    assert read_image(tmp_path / "whole.jpg").shape == (64, 64, 3)
    (tmp_path / "cut.jpg").write_bytes(data[: data.rindex(b"\xff\xda")])
    with pytest.raises(InputError, match="cut short"):
        read_image(tmp_path / "cut.jpg")


def test_a_png_with_a_flipped_bit_is_refused(write, capfd):
    data = bytearray(encode(".png", picture()))
    data[len(data) // 2] ^= 1
    with pytest.raises(InputError, match="damaged"):
        read_image(write(bytes(data)))
    assert capfd.readouterr().err == ""


def test_a_picture_larger_than_opencv_allows(write):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(InputError) as excinfo:
        read_image(write(data))
    assert_one_line(excinfo, "picture.bin")


# Whatever a segmenter takes


def pil(mode="RGB"):
    """The picture as PIL has it."""
    return Image.fromarray(np.ascontiguousarray(picture()[..., ::-1])).convert(mode)


def test_a_path_an_array_and_a_pil_image_are_one_frame(write):
    path = write(encode(".png", picture()), "a.png")
    rgb = np.ascontiguousarray(picture()[..., ::-1])
    for image, options in [
        (path, {}),
        (str(path), {}),
        (path, {"color": "rgb"}),  # a file knows its own
        (picture(), {}),
        (rgb, {"color": "rgb"}),
        (pil(), {}),
        (pil(), {"color": "rgb"}),
        (Image.open(path), {}),
    ]:
        frame = to_frame("image", image, **options)
        assert frame.dtype == np.uint8
        np.testing.assert_array_equal(frame, picture())
    assert not np.array_equal(to_frame("image", rgb), picture())
    image = picture()
    assert to_frame("image", image) is image


def test_rgb_arrays_of_every_kind():
    rgba = np.dstack([picture()[..., ::-1], np.full((24, 40), 7, np.uint8)])
    np.testing.assert_array_equal(to_frame("image", rgba, color="rgb"), picture())
    deep = picture()[..., ::-1].astype(np.uint16) * 257
    np.testing.assert_array_equal(to_frame("image", deep, color="rgb"), picture())
    grey = picture()[..., 0]
    for array in (grey, grey[..., None]):
        np.testing.assert_array_equal(to_frame("image", array, color="rgb"), to_bgr8(grey))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pil_images_of_other_modes_are_converted(mode):
    image = pil(mode)
    np.testing.assert_array_equal(to_frame("image", image), np.asarray(image.convert("RGB"))[..., ::-1])


def test_sixteen_bits_of_pil_are_scaled():
    deep = np.arange(24 * 40, dtype=np.uint16).reshape(24, 40) * 60
    np.testing.assert_array_equal(to_frame("image", Image.fromarray(deep)), to_bgr8(deep))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pil_images_of_unknown_range_are_refused(mode):
    with pytest.raises(InputError) as excinfo:
        to_frame("image", Image.new(mode, (3, 2)))
    assert_one_line(excinfo, f"image: got a PIL image of mode {mode}", "convert it to mode RGB")


@pytest.mark.parametrize("orientation", range(10))
def test_pil_images_are_turned_upright_as_files_are(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    pil().save(path, exif=exif, quality=100, subsampling=0)
    opened = Image.open(path)
    expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))[..., ::-1]
    frame = to_frame("image", opened)
    np.testing.assert_array_equal(frame, expected)
    assert np.abs(frame.astype(int) - read_image(path)).max() <= 3  # decoders round on their own
    assert (frame.shape[0] == 40) == (orientation in (5, 6, 7, 8))


def test_a_pil_image_without_an_orientation_stays_as_it_is():
    image = pil()
    image.getexif()[0x0112] = ("x",)
    np.testing.assert_array_equal(to_frame("image", image), picture())


def test_a_damaged_pil_image_is_an_input_error(write):
    path = write(encode(".png", picture(200, 300))[:300], "a.png")
    with pytest.raises(InputError) as excinfo:
        to_frame("image", Image.open(path))
    assert_one_line(excinfo, "image: PIL cannot read the image")


def test_a_class_that_derives_from_pils_is_one():
    class Mine(Image.Image):
        pass

    mine = pil()
    mine.__class__ = Mine
    np.testing.assert_array_equal(to_frame("image", mine), picture())


@pytest.mark.parametrize("value", [None, 5, b"a.png", [], {}, object()])
def test_what_is_no_image_is_refused_with_what_is(value):
    with pytest.raises(InputError) as excinfo:
        to_frame("image", value)
    assert_one_line(excinfo, "image: got ", "give a path, an (H, W, 3) uint8 array or a PIL image")


def test_an_array_alone_stays_strict(write):
    path = write(encode(".png", picture()), "a.png")
    for value, advice in [(str(path), "read it with"), (pil(), "np.asarray")]:
        with pytest.raises(InputError, match=advice):
            to_bgr8(value)
