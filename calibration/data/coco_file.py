"""A COCO file of instances as it stands: decoded, and checked against itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec

from edgeblend.calibration.data.coco_json import decode_coco
from edgeblend.errors import InputError

_SHOWN = 3  # of the items that a message lists
_MOST_PIXELS = 1 << 30  # OpenCV reads no larger picture

_Side = Annotated[int, msgspec.Meta(gt=0, le=1 << 20)]


class Category(msgspec.Struct):
    """A class; fields that are not named here are ignored, in all of these."""

    id: int
    name: str
    supercategory: str | None = None


class Image(msgspec.Struct, gc=False):
    """A picture; without garbage collection, since there are many."""

    id: int
    file_name: str
    width: _Side | None = None
    height: _Side | None = None


class Annotation(msgspec.Struct, gc=False):
    """An object."""

    image_id: int
    category_id: int
    id: int = 0
    bbox: tuple[float | None, float | None, float | None, float | None] | None = None
    """x, y, width, height in picture pixels."""
    iscrowd: bool | float | None = 0
    area: Annotated[float, msgspec.Meta(ge=0)] | None = None
    segmentation: msgspec.Raw = msgspec.Raw()
    """Left as JSON: a large file's numbers as Python lists would take gigabytes."""


class Document(msgspec.Struct):
    """The whole file."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class ListedPicture(msgspec.Struct, gc=False):
    """A picture as far as it matters where nobody asks what is on it."""

    file_name: str


class PictureList(msgspec.Struct):
    """A file of which the pictures alone are wanted: COCO's own test sets have no annotations."""

    images: list[ListedPicture]


def read_document(path: Path) -> tuple[Document, list[str]]:
    """Return the content of a file whose annotations name what it has, and notes on what was left out.

    Raises:
        InputError: it is missing or not COCO's format, ids of images or categories repeat, or a reference
            leads nowhere.
    """
    document, notes = decode_coco(path, Document)
    _check_unique(path, "image", [image.id for image in document.images])
    _check_unique(path, "category", [category.id for category in document.categories])
    _check_sizes(path, document.images)
    _check_crowds(path, document.annotations)
    notes += _leave_out_unlisted(path, document)
    _check_categories(path, document)
    if alike := _repeated([item.id for item in document.annotations]):
        notes.append(
            f"{len(alike)} annotation ids given more than once, all annotations kept: {listed(alike)}"
        )
    return document, notes


def listed(items: Iterable[object], shown: int = _SHOWN) -> str:
    """Return the first few of some items, and how many more there are."""
    every = [str(item) for item in items]
    more = len(every) - shown
    return ", ".join(every[:shown]) + (f" and {more} more" if more > 0 else "")


def _repeated(ids: list[int]) -> list[int]:
    if len(set(ids)) == len(ids):
        return []
    return [number for number, count in Counter(ids).items() if count > 1]


def _check_unique(path: Path, kind: str, ids: list[int]) -> None:
    if repeated := _repeated(ids):
        raise InputError(f"{path}: {kind} ids given more than once: {listed(repeated)}")


def _check_sizes(path: Path, images: list[Image]) -> None:
    wrong = [i for i in images if i.width and i.height and i.width * i.height > _MOST_PIXELS]
    if wrong:
        given = listed(f"image {image.id} of {image.width}x{image.height}" for image in wrong)
        raise InputError(f"{path}: pictures larger than any that can be read: {given}; correct their sizes")


def _check_crowds(path: Path, items: list[Annotation]) -> None:
    if wrong := [item for item in items if item.iscrowd not in (0, 1, None)]:
        given = listed(f"annotation {item.id} has {item.iscrowd:g}" for item in wrong)
        raise InputError(f"{path}: expected iscrowd to be 0 or 1: {given}")


def _leave_out_unlisted(path: Path, document: Document) -> list[str]:
    """Take annotations of images that are not listed out of the document; returns what to note.

    A file whose images were thinned out, and not its annotations, is clear; one of which no annotation fits
    is not.
    """
    known = {image.id for image in document.images}
    unlisted = [item for item in document.annotations if item.image_id not in known]
    if not unlisted:
        return []
    named = listed(f"annotation {item.id} names image {item.image_id}" for item in unlisted)
    if len(unlisted) == len(document.annotations):
        raise InputError(f"{path}: no annotation is of an image that the file lists: {named}")
    document.annotations = [item for item in document.annotations if item.image_id in known]
    return [f"{len(unlisted)} annotations of images that are not listed were left out: {named}"]


def _check_categories(path: Path, document: Document) -> None:
    known = {category.id for category in document.categories}
    wrong = [
        f"annotation {item.id} names category {item.category_id}"
        for item in document.annotations
        if item.category_id not in known
    ]
    if wrong:
        raise InputError(f"{path}: annotations name categories that the file does not have: {listed(wrong)}")
