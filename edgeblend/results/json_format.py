"""``Instances`` as JSON and back: every number keeps its bits.

The document is one object. All of its fields are required, and others are refused:

- ``format``: ``"edgeblend.instances"``; ``version``: 1.
- ``frame_size``: [height, width] in pixels.
- ``class_names``, ``category_ids``: one per class that the model knows.
- ``timings_ms``: milliseconds by stage.
- ``boxes``, ``mask_boxes``: N times [x0, y0, x1, y1] in frame pixels; ``scores``: N numbers; ``classes``: N
  indices into ``class_names``. Numbers are read to the nearest float32, so those written here stay exact.
- ``mask_size``: R; ``mask_probs``: base64 (RFC 4648, padded) of N x R x R float32, little-endian, in C order.

Numbers that are not finite are refused both ways: JSON has none.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgeblend.classes import LARGEST_CATEGORY_ID, SMALLEST_CATEGORY_ID
from edgeblend.errors import InputError
from edgeblend.files.json_errors import NOT_JSON
from edgeblend.results.instances import LARGEST_FRAME, LARGEST_MASK, Instances

FORMAT = "edgeblend.instances"
VERSION = 1

_LARGEST = float(np.finfo(np.float32).max)
_FLOATS = ("boxes", "scores", "mask_probs", "mask_boxes")
_ADVICE = "give what Instances.to_json returned"

_Number = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
_Box = tuple[_Number, _Number, _Number, _Number]
_Side = Annotated[int, Meta(ge=1, le=LARGEST_FRAME)]
_CategoryId = Annotated[int, Meta(ge=SMALLEST_CATEGORY_ID, le=LARGEST_CATEGORY_ID)]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: Literal["edgeblend.instances"]
    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    frame_size: tuple[_Side, _Side]
    class_names: tuple[str, ...]
    category_ids: tuple[_CategoryId, ...]
    timings_ms: dict[str, float]
    boxes: tuple[_Box, ...]
    scores: tuple[_Number, ...]
    classes: tuple[Annotated[int, Meta(ge=0, le=2**31 - 1)], ...]
    mask_boxes: tuple[_Box, ...]
    mask_size: Annotated[int, Meta(ge=0, le=LARGEST_MASK)]
    mask_probs: bytes


class _Head(msgspec.Struct, frozen=True):
    """What is looked at first: another version may have other fields."""

    format: str
    version: int


def to_json(instances: Instances) -> str:
    """Return instances as JSON, in one line.

    Raises:
        InputError: a number is not finite.
    """
    timings_ms = {str(stage): float(value) for stage, value in instances.timings_ms.items()}
    broken = [name for name in _FLOATS if not np.isfinite(getattr(instances, name)).all()]
    broken += ["timings_ms"] * (not np.isfinite(list(timings_ms.values())).all())
    if broken:
        raise InputError(
            f"{broken[0]}: got numbers that are not finite, which JSON cannot hold; leave them out"
        )
    document = {
        "format": FORMAT,
        "version": VERSION,
        "frame_size": instances.frame_size,
        "class_names": instances.class_names,
        "category_ids": [int(category) for category in instances.category_ids],
        "timings_ms": timings_ms,
        "boxes": instances.boxes.tolist(),
        "scores": instances.scores.tolist(),
        "classes": instances.classes.tolist(),
        "mask_boxes": instances.mask_boxes.tolist(),
        "mask_size": instances.mask_probs.shape[-1],
        "mask_probs": instances.mask_probs.astype("<f4").tobytes(),
    }
    return msgspec.json.encode(document).decode()


def from_json(text: str | bytes) -> Instances:
    """Return the instances that a JSON document holds.

    Raises:
        InputError: the text is not such a document, or belongs to another version.
    """
    if not isinstance(text, str | bytes):
        raise InputError(f"text: got {type(text).__name__}; {_ADVICE}")
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format == FORMAT and head.version != VERSION:
            raise InputError(
                f"text: instances of version {head.version}, and this edgeblend reads version {VERSION}; "
                "install the edgeblend that wrote them"
            )
        document = msgspec.json.decode(text, type=_Document)
    except NOT_JSON as error:
        raise InputError(f"text: not instances as JSON: {error}; {_ADVICE}") from None
    return _instances(document)


def _instances(document: _Document) -> Instances:
    size, count = document.mask_size, len(document.scores)
    if len(document.mask_probs) != count * size * size * 4:
        raise InputError(
            f"text: mask_probs holds {len(document.mask_probs)} bytes, and {count} masks of {size} x {size} "
            f"float32 have {count * size * size * 4}; {_ADVICE}"
        )
    if len(document.category_ids) != len(document.class_names):
        raise InputError(
            f"text: {len(document.category_ids)} category_ids for {len(document.class_names)} class_names; "
            f"{_ADVICE}"
        )
    probs = np.frombuffer(document.mask_probs, "<f4").astype(np.float32).reshape(count, size, size)
    if not np.isfinite(probs).all():
        raise InputError(f"text: mask_probs holds numbers that are not finite; {_ADVICE}")
    return Instances(
        boxes=_boxes(document.boxes),
        scores=np.array(document.scores, np.float32),
        classes=np.array(document.classes, np.int64),
        class_names=document.class_names,
        mask_probs=probs,
        mask_boxes=_boxes(document.mask_boxes),
        frame_size=document.frame_size,
        timings_ms=document.timings_ms,
        category_ids=document.category_ids,
    )


def _boxes(rows: tuple[Any, ...]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)
