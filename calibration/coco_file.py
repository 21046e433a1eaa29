"""A COCO file of instances as it stands: decoded strictly, and checked against itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgeblend.errors import InputError

_SHOWN = 3  # of the items that a message lists


class Category(msgspec.Struct):
    """A class; fields that are not named here are ignored, in all of these."""

    id: int
    name: str


class Image(msgspec.Struct, gc=False):
    """A picture; without garbage collection, since there are many."""

    id: int
    file_name: str
    width: Annotated[int, msgspec.Meta(gt=0)]
    height: Annotated[int, msgspec.Meta(gt=0)]


class Annotation(msgspec.Struct, gc=False):
    """An object."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    """x, y, width, height in picture pixels."""
    iscrowd: bool | Literal[0, 1] = 0
    area: Annotated[float, msgspec.Meta(ge=0)] | None = None
    segmentation: msgspec.Raw = msgspec.Raw()
    """Left as JSON: a large file's numbers as Python lists would take gigabytes."""


class Document(msgspec.Struct):
    """The whole file."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


def read_document(path: Path) -> Document:
    """Return the content of a file whose ids are unique and whose annotations name what it has.

    Raises:
        InputError: it is missing or not COCO's format, ids repeat, or a reference leads nowhere.
    """
    document = _decode(path)
    _check_unique(path, "image", [image.id for image in document.images])
    _check_unique(path, "annotation", [item.id for item in document.annotations])
    _check_unique(path, "category", [category.id for category in document.categories])
    _check_references(path, document)
    return document


def listed(items: Iterable[object], shown: int = _SHOWN) -> str:
    """Return the first few of some items, and how many more there are."""
    every = [str(item) for item in items]
    more = len(every) - shown
    return ", ".join(every[:shown]) + (f" and {more} more" if more > 0 else "")


def _decode(path: Path) -> Document:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected annotations in COCO's JSON format") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        return msgspec.json.decode(data, type=Document)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: not COCO's format for instances: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a JSON file: {error}") from None


def _check_unique(path: Path, kind: str, ids: list[int]) -> None:
    if len(set(ids)) != len(ids):
        repeated = [str(i) for i, count in Counter(ids).items() if count > 1]
        raise InputError(f"{path}: {kind} ids given more than once: {listed(repeated)}")


def _check_references(path: Path, document: Document) -> None:
    known = {
        "image": {image.id for image in document.images},
        "category": {category.id for category in document.categories},
    }
    wrong = [
        f"annotation {item.id} names {kind} {reference}"
        for item in document.annotations
        for kind, reference in (("image", item.image_id), ("category", item.category_id))
        if reference not in known[kind]
    ]
    if wrong:
        raise InputError(f"{path}: annotations name what the file does not have: {listed(wrong)}")
