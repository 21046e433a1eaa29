"""Images in: whatever people hand over becomes (H, W, 3) uint8 BGR, or an error that says why not.

OpenCV's decoders differ between versions in what they make of a damaged file: some hand out grey
filler with a line on stderr, some nothing. So :mod:`edgeblend.runtime.image_files` checks files for
completeness before they are decoded, which also keeps most of that noise from appearing. OpenCV's log
level is left alone: it belongs to the whole process, and so to the application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol, TypeGuard, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.checks import check_path
from edgeblend.arguments.choices import check_choice
from edgeblend.errors import InputError
from edgeblend.files.paths import is_dir
from edgeblend.runtime.image_files import UNREADABLE_KINDS, kind_of, whole_picture
from edgeblend.runtime.jpeg_files import ends_early

_OPTIONAL = (".avif", ".gif", ".jp2")
IMAGE_SUFFIXES = frozenset(
    {
        ".bmp",
        ".dib",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
    }
    | {".webp", *(suffix for suffix in _OPTIONAL if cv2.haveImageWriter(suffix))}
)
"""What this OpenCV reads, in lower case; not every build has the decoders of AVIF, GIF and JPEG 2000."""

_PIL_NUMBERS = ("I", "F")  # 32 bits a pixel, whose range nobody knows
_EXPECTED = "expected an (H, W, 3) uint8 BGR array (grey, BGRA and uint16 are served too)"


ChannelOrder = Literal["bgr", "rgb"]


class PilImage(Protocol):
    """What is used of a ``PIL.Image.Image``, so that PIL is never imported here."""

    @property
    def mode(self) -> str:
        """Such as ``RGB``."""

    def convert(self, mode: str) -> Any:  # noqa: ANN401 - another PIL image
        """Return it in another mode."""

    def getexif(self) -> Any:  # noqa: ANN401 - a mapping of PIL's own
        """Return EXIF tags by number."""


Image = str | PathLike[str] | NDArray[Any] | PilImage
"""A file, an array (H, W, 3), or a PIL image."""

_ORIENTATION = 0x0112  # of EXIF
_TURNED: Mapping[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
"""How an image becomes upright, by its EXIF orientation."""


def to_frame(name: str, image: Image, *, color: ChannelOrder = "bgr") -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 BGR, upright as its EXIF tag says.

    Args:
        name: the argument, as the caller writes it.
        image: a file, see :func:`read_image`; an array, see :func:`to_bgr8`; or a PIL image.
        color: channel order of an array with three or four channels. Files and PIL images know their own.

    Raises:
        InputError: it is no image, or cannot be read.
    """
    check_choice("color", color, get_args(ChannelOrder))
    if isinstance(image, str | PathLike):
        return read_image(image)
    if isinstance(image, np.ndarray):
        array = to_bgr8(image)
        swapped = color == "rgb" and image.ndim == 3 and image.shape[2] > 1
        return np.ascontiguousarray(array[..., ::-1]) if swapped else array
    if _is_pil(image):
        return _from_pil(name, image)
    raise InputError(f"{name}: got {_what(image)}; give a path, an (H, W, 3) uint8 array or a PIL image")


def _is_pil(image: object) -> TypeGuard[PilImage]:
    return any(kind.__module__.partition(".")[0] == "PIL" for kind in type(image).__mro__)


def _from_pil(name: str, image: PilImage) -> NDArray[np.uint8]:
    """Return a PIL image as (H, W, 3) uint8 BGR, upright."""
    if image.mode in _PIL_NUMBERS:
        raise InputError(
            f"{name}: got a PIL image of mode {image.mode}; scale it to 0..255 and convert it to mode RGB"
        )
    try:
        deep = image.mode.startswith("I;16")
        pixels = np.asarray(image if deep else image.convert("RGB"))
        # After the pixels, since PIL itself turns some files upright when it reads them.
        orientation = image.getexif().get(_ORIENTATION)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{name}: PIL cannot read the image: {error}; copy it again") from None
    if isinstance(orientation, int) and orientation in _TURNED:
        pixels = _TURNED[orientation](pixels)
    return to_frame(name, np.ascontiguousarray(pixels), color="rgb")


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

    Grey fills three channels, alpha is dropped, and 16 bits become 8. A file that is missing, empty, cut
    short, damaged, no picture, or a picture of floats is an InputError.

    Example:
        >>> image = edgeblend.read_image("image.png")
        >>> image.shape, image.dtype
        ((64, 96, 3), dtype('uint8'))
    """
    path = check_path("path", path)
    image = _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    try:
        return to_bgr8(image)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def stored_size(path: str | PathLike[str]) -> tuple[int, int]:
    """Return (height, width) of the picture in a file as it is stored, not turned as its EXIF tag says.

    Raises:
        InputError: as :func:`read_image` raises it.
    """
    height, width = _decode(Path(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION).shape[:2]
    return height, width


def _decode(path: Path, flags: int) -> NDArray[Any]:
    """Return what OpenCV makes of a file that holds all of its pixels."""
    data = _read_bytes(path)
    kind = kind_of(data)
    if kind in UNREADABLE_KINDS:
        raise InputError(f"{path}: a {kind} file, which OpenCV does not decode; convert it to JPEG or PNG")
    if kind == "video":
        raise InputError(
            f"{path}: a video, not a picture; `quantize --calibration` and `sensitivity` take videos"
        )
    whole = whole_picture(data)
    damaged = InputError(
        f"{path}: the picture is cut short or damaged ({kind}, {len(data)} bytes); copy it again"
    )
    if whole is None:
        raise damaged
    try:
        # From memory, because cv2.imread cannot open every Unicode path on Windows.
        image = cv2.imdecode(np.frombuffer(whole, np.uint8), flags)
    except cv2.error as error:
        raise InputError(f"{path}: OpenCV cannot decode it: {' '.join(str(error).split())}") from None
    if image is None:
        raise InputError(f"{path}: {_why_not_decoded(kind, len(data))}")
    if kind == "JPEG" and ends_early(data, np.asarray(image)):
        raise damaged
    return np.asarray(image)


def _why_not_decoded(kind: str | None, size: int) -> str:
    if kind is None:
        return "not a picture that OpenCV can decode; expected JPEG, PNG, WebP, BMP or TIFF"
    return (
        f"OpenCV {cv2.__version__} cannot decode this {kind} picture ({size} bytes); copy it again if it is "
        "damaged, or convert it to JPEG or PNG"
    )


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
        return _what(value)
    if isinstance(value, str | PathLike):
        return f"the path {value!r}; read it with edgeblend.runtime.images.read_image"
    if _is_pil(value):
        return f"{_what(value)}; use np.asarray(image.convert('RGB'))[..., ::-1]"
    return f"{_what(value)}; convert it to a NumPy array"


def _what(value: object) -> str:
    if value is None:
        return "None; cv2.imread and VideoCapture.read return it where there is nothing to read"
    return f"a {type(value).__module__}.{type(value).__qualname__}"


def _read_bytes(path: Path) -> bytes:
    """Return the bytes of a file that has any."""
    if is_dir(path):
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
