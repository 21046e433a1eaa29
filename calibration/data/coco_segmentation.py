"""The masks of a COCO file: polygons or run lengths, checked when read, rasterised when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypedDict, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.data.coco_rings import are_points, read_rings
from edgeblend.errors import InputError, MissingPackageError
from edgeblend.files.json_errors import NOT_JSON
from edgeblend.masks import rle

_FARTHEST = 1e5
"""Pixels. Rasterising costs memory by the length of an outline, and no picture is that large."""


class CocoRle(TypedDict):
    """Run lengths as COCO files hold them: ``size`` is [height, width], ``counts`` compressed or plain."""

    size: list[int]
    counts: str | list[int]


Polygons = tuple[NDArray[np.float64], ...]
"""Rings of x0, y0, x1, y1, ... in picture pixels, (2 * P,) each with P >= 3; a mask is their union."""

Segmentation = Polygons | CocoRle


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a segmentation cannot be used."""

    reason: str
    wrong: bool
    """Whether the file is wrong, and not just the object without a mask."""


class _Rle(msgspec.Struct):
    size: tuple[int, int]
    counts: str | list[int]


_Encoded = list[list[float]] | _Rle | None
_DECODER = msgspec.json.Decoder(_Encoded)
_LENIENT = msgspec.json.Decoder(_Encoded, strict=False)
"""Also takes numbers that are written as text, and whole ones with a point."""
_NOTHING = Unusable("no segmentation", wrong=False)
_ODD = "polygons with an odd number of coordinates"
_SHORT = "polygons with fewer than 3 points"
_FLAT = "polygons without an area"
_ON_A_LINE = 1e-9  # of a ring's extent


def read_segmentations(
    encoded: Sequence[msgspec.Raw], sizes: Sequence[tuple[int, int]]
) -> tuple[list[Segmentation | Unusable], Counter[str]]:
    """Decode and check segmentations.

    Args:
        encoded: JSON of each; nothing where the file has none.
        sizes: (height, width) of the picture of each.

    Returns:
        Each segmentation, or why it is unusable, and notes with how often each is true: which rings were left
        out of polygons that have others, and which were written in another way and read.
    """
    results: list[Segmentation | Unusable] = [_NOTHING] * len(encoded)
    rings: list[list[float]] = []
    owners: list[int] = []
    notes: Counter[str] = Counter()
    for index, (data, size) in enumerate(zip(encoded, sizes, strict=True)):
        try:
            value = _decode(data, notes)
        except NOT_JSON as error:
            results[index] = Unusable(f"segmentation: {error}", wrong=True)
            continue
        if isinstance(value, _Rle):
            results[index] = _check_rle(value, size)
        elif value:
            rings += value
            owners += [index] * len(value)
    left_out = _place_polygons(results, rings, owners)
    notes.update({f"{what} left out of masks": number for what, number in left_out.items()})
    return results, notes


def _decode(data: msgspec.Raw, notes: Counter[str]) -> list[list[float]] | _Rle | None:
    if not bytes(data):
        return None
    try:
        value = _DECODER.decode(data)
    except msgspec.ValidationError as error:
        return _decode_leniently(data, notes, error)
    return read_rings(value, notes) if isinstance(value, list) and are_points(value) else value


def _decode_leniently(
    data: msgspec.Raw, notes: Counter[str], error: msgspec.ValidationError
) -> list[list[float]] | _Rle | None:
    with suppress(msgspec.ValidationError):
        return _LENIENT.decode(data)
    rings = read_rings(msgspec.json.decode(data), notes)
    if rings is None:
        raise error
    return rings


def _check_rle(value: _Rle, size: tuple[int, int]) -> CocoRle | Unusable:
    if value.size != size:
        return Unusable(f"run lengths of size {value.size} in a picture of {size}", wrong=True)
    checked: CocoRle = {"size": list(size), "counts": value.counts}
    if isinstance(value.counts, str):
        try:
            empty = rle.area(cast(rle.Rle, checked)) == 0
        except (InputError, UnicodeError) as error:  # text that is not ASCII
            return Unusable(str(error), wrong=True)
    else:
        pixels = size[0] * size[1]
        if min(value.counts, default=0) < 0:
            return Unusable(f"run lengths that are below 0, such as {min(value.counts)}", wrong=True)
        if sum(value.counts) != pixels:
            return Unusable(f"run lengths that add up to {sum(value.counts)}, not {pixels}", wrong=True)
        empty = not any(value.counts[1::2])
    return Unusable("an empty mask", wrong=False) if empty else checked


def _place_polygons(
    results: list[Segmentation | Unusable], rings: list[list[float]], owners: list[int]
) -> Counter[str]:
    """Put the usable rings into their owners' results; count the others that those had beside them."""
    lengths = np.fromiter(map(len, rings), np.int64, len(rings))
    ends = np.cumsum(lengths)
    flat = np.fromiter(chain.from_iterable(rings), np.float64, int(lengths.sum()))
    flat.flags.writeable = False
    kept: dict[int, list[NDArray[np.float64]]] = {owner: [] for owner in owners}
    wrong: dict[int, list[str]] = {owner: [] for owner in owners}
    verdicts = _judge_rings(flat, lengths)
    for owner, verdict, start, end in zip(
        owners, verdicts, (ends - lengths).tolist(), ends.tolist(), strict=True
    ):
        if verdict:
            wrong[owner].append(verdict)
        else:
            kept[owner].append(flat[start:end])
    far = {owners[i] for i in _far_rings(flat, ends)}
    left_out: Counter[str] = Counter()
    for owner, good_rings in kept.items():
        if owner in far:
            results[owner] = Unusable(f"polygon points beyond {_FARTHEST:.0f} pixels", wrong=True)
        elif good_rings:
            results[owner] = tuple(good_rings)
            left_out.update(wrong[owner])
        else:
            results[owner] = Unusable(wrong[owner][0], wrong=False)
    return left_out


def _judge_rings(flat: NDArray[np.float64], lengths: NDArray[np.int64]) -> list[str]:
    """Return why each ring is no outline, "" for those that are; coordinates come one ring after another."""
    verdicts = np.where(lengths % 2 == 1, _ODD, np.where(lengths < 6, _SHORT, "")).astype(object)
    whole = np.flatnonzero(verdicts == "")
    chosen = np.repeat(verdicts == "", lengths)
    areas = _ring_areas(flat[chosen], lengths[whole])
    ends = np.cumsum(lengths)
    for ring in whole[~(areas > 0)].tolist():
        if not _encloses(flat[ends[ring] - lengths[ring] : ends[ring]].reshape(-1, 2)):
            verdicts[ring] = _FLAT
    return [str(verdict) for verdict in verdicts]


def _encloses(points: NDArray[np.float64]) -> bool:
    """Whether points (P, 2) of a ring without a signed area do not all lie on a line.

    The two halves of a bow-tie cancel each other in the shoelace formula, but cover pixels.
    """
    points = points - points[0]
    farthest = points[np.argmax((points**2).sum(axis=1))]
    across = np.abs(points[:, 0] * farthest[1] - points[:, 1] * farthest[0])
    return bool((across > _ON_A_LINE * (farthest**2).sum()).any())


def _far_rings(flat: NDArray[np.float64], ends: NDArray[np.int64]) -> list[int]:
    """Which rings reach where no picture does, or are not finite."""
    wrong = np.flatnonzero(~(np.abs(flat) <= _FARTHEST))
    return [int(i) for i in np.unique(np.searchsorted(ends, wrong, side="right"))]


def _ring_areas(flat: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the area of each ring by the shoelace formula; the coordinates come one ring after another."""
    if not len(lengths):
        return np.empty(0)
    counts = lengths // 2
    starts = np.cumsum(counts) - counts
    # From each ring's first point, so that a line far from the origin does not gain an area by rounding.
    points = flat.reshape(-1, 2)
    points = points - np.repeat(points[starts], counts, axis=0)
    following = np.arange(1, len(points) + 1)
    following[starts + counts - 1] = starts
    cross = points[:, 0] * points[following, 1] - points[following, 0] * points[:, 1]
    areas: NDArray[np.float64] = np.abs(np.add.reduceat(cross, starts)) / 2
    return areas


def area_of(segmentation: Segmentation, height: int, width: int) -> float:
    """Return the pixels covered; of polygons the sum of their rings' areas, as COCO's own files have it.

    Where that is 0, since a ring crosses itself, pixels are counted, which needs faster-coco-eval; without it
    the area is 0.
    """
    if not isinstance(segmentation, tuple):
        return float(rle.area(cast(rle.Rle, segmentation)))
    lengths = np.array([len(ring) for ring in segmentation])
    area = float(_ring_areas(np.concatenate(segmentation), lengths).sum())
    if area == 0:
        with suppress(InputError):
            area = float(np.count_nonzero(mask_of(segmentation, height, width)))
    return area


def bounds_of(segmentation: Segmentation) -> tuple[float, float, float, float]:
    """Return the box around a mask as xyxy in picture pixels."""
    if isinstance(segmentation, tuple):
        points = np.concatenate(segmentation).reshape(-1, 2)
        return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    mask = rle.decode(cast(rle.Rle, segmentation))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def mask_of(segmentation: Segmentation, height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask (height, width) of a segmentation, polygons rasterised as COCO's tools do.

    Raises:
        InputError: run lengths of another size.
        MissingPackageError: faster-coco-eval is not installed.
    """
    if not isinstance(segmentation, tuple):
        if segmentation["size"] != [height, width]:
            raise InputError(f"expected a mask of {segmentation['size']}, got a frame of {[height, width]}")
        return rle.decode(cast(rle.Rle, segmentation))
    api = coco_tools().mask
    encoded = api.frPyObjects(list(segmentation), height, width)
    return np.ascontiguousarray(api.decode(api.merge(encoded))).view(np.bool_)


def compressed(segmentation: Segmentation, height: int, width: int) -> dict[str, Any]:
    """Return a segmentation as compressed run lengths, as COCO's evaluation takes them."""
    api = coco_tools().mask
    given = list(segmentation) if isinstance(segmentation, tuple) else segmentation
    if isinstance(given, dict) and isinstance(given["counts"], str):
        return dict(given)
    encoded = api.frPyObjects(given, height, width)
    merged: dict[str, Any] = api.merge(encoded) if isinstance(encoded, list) else encoded
    return merged


def coco_tools() -> Any:  # noqa: ANN401, a package that is optional
    """Return the package faster_coco_eval.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import faster_coco_eval
    except ImportError as error:
        raise MissingPackageError(
            "COCO masks and accuracy need faster-coco-eval, which is not installed; run "
            '`pip install "edgeblend[accuracy]"`',
            name=error.name,
            extra="accuracy",
        ) from error
    return faster_coco_eval
