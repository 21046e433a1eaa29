"""COCO run-length encoding of masks.

Runs follow the mask column by column and alternate between off and on, beginning with off. The compressed
form writes each count as the difference to the count two before it, in groups of five bits, lowest
first, as one character each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from edgeblend.errors import InputError

_FIRST_CHARACTER = 48
_MORE = 0x20  # another group of this number follows
_SIGN = 0x10  # in a number's last group
_BATCH = 2048  # run lengths that are compressed at once: enough that calling NumPy does not count


class Rle(TypedDict):
    """A mask as COCO writes it: ``size`` is [height, width]."""

    size: list[int]
    counts: str


def encode(mask: NDArray[np.bool_]) -> Rle:
    """Return the compressed encoding of a mask (H, W), byte for byte as pycocotools writes it."""
    return encode_region(mask, 0, 0, (mask.shape[0], mask.shape[1]))


def encode_region(mask: NDArray[np.bool_], top: int, left: int, frame_size: tuple[int, int]) -> Rle:
    """Encode a frame-sized mask of which only a region is given, without building the whole.

    Args:
        mask: (hh, ww) bool, the region; everything else is off.
        top: the region's first row in the frame.
        left: its first column.
        frame_size: (height, width) of the frame.

    Raises:
        InputError: the region is not a bool array within the frame.
    """
    return encode_regions([(top, left, mask)], frame_size)[0]


def encode_regions(
    regions: Iterable[tuple[int, int, NDArray[np.bool_]]], frame_size: tuple[int, int]
) -> list[Rle]:
    """Encode one mask after the other, each given as :func:`encode_region` takes it; quicker than one by one.

    Args:
        regions: row and column of each region's first pixel, and its mask (hh, ww); held one at a time.
        frame_size: (height, width) of the frame.

    Raises:
        InputError: a region is not a bool array within the frame.
    """
    texts: list[str] = []
    waiting: list[NDArray[np.int64]] = []
    count = 0
    for top, left, mask in regions:
        waiting.append(_runs(mask, top, left, frame_size))
        count += len(waiting[-1])
        if count >= _BATCH:
            texts += _compress(waiting)
            waiting, count = [], 0
    texts += _compress(waiting)
    return [{"size": list(frame_size), "counts": text} for text in texts]


def decode(rle: Rle) -> NDArray[np.bool_]:
    """Return the mask (H, W).

    Raises:
        InputError: the counts are damaged or do not add up to the size.
    """
    height, width = rle["size"]
    counts = _checked_counts(rle)
    values = np.arange(len(counts)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def area(rle: Rle) -> int:
    """Return the number of pixels that are on.

    Raises:
        InputError: the counts are damaged or do not add up to the size.
    """
    return int(_checked_counts(rle)[1::2].sum())


def _checked_counts(rle: Rle) -> NDArray[np.int64]:
    """Return run lengths that add up to the size."""
    counts = _counts(rle)
    pixels = rle["size"][0] * rle["size"][1]
    # Each alone, too, since a sum of long ones passes 64 bits and begins anew.
    if counts.sum() != pixels or counts.min(initial=0) < 0 or counts.max(initial=0) > pixels:
        raise InputError(f"expected run lengths of {pixels} pixels in all, got {counts.sum()}")
    return counts


def _runs(mask: NDArray[np.bool_], top: int, left: int, frame_size: tuple[int, int]) -> NDArray[np.int64]:
    """Run lengths of the frame-sized mask."""
    height, width = frame_size
    _check_region(mask, top, left, frame_size)
    flips = _flips(mask)
    rows, columns = np.divmod(flips, max(mask.shape[1], 1))
    edges = (columns + left) * height + rows + top
    edges.sort()
    # A run that ends at the bottom and one that begins at the next column's top are the same run.
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
    if len(joined):
        edges = np.delete(edges, [joined, joined + 1])
    frame_end = [] if len(edges) and edges[-1] == height * width else [height * width]
    bounds = np.concatenate([[0], edges, frame_end]).astype(np.int64)
    return bounds[1:] - bounds[:-1]


def _check_region(mask: NDArray[np.bool_], top: int, left: int, frame_size: tuple[int, int]) -> None:
    if mask.ndim != 2 or mask.dtype != bool:
        raise InputError(f"expected a bool mask (H, W), got {mask.dtype} {mask.shape}")
    fits = (
        top >= 0
        and left >= 0
        and top + mask.shape[0] <= frame_size[0]
        and left + mask.shape[1] <= frame_size[1]
    )
    if not fits:
        raise InputError(f"expected a region within {frame_size}, got {mask.shape} at ({top}, {left})")


def _flips(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Flat indices into (hh + 1, ww) of where a pixel differs from the one above it; outside is off.

    Comparing rows with their neighbours reads the mask in memory order; walking down columns would not.
    """
    differs = np.empty((mask.shape[0] + 1, mask.shape[1]), bool)
    if not mask.size:
        return np.empty(0, np.int64)
    differs[0] = mask[0]
    np.not_equal(mask[1:], mask[:-1], out=differs[1:-1])
    differs[-1] = mask[-1]
    return np.flatnonzero(differs)


def _compress(runs: Sequence[NDArray[np.int64]]) -> list[str]:
    """Compress the run lengths of each mask."""
    if not runs:
        return []
    lengths = np.array([len(counts) for counts in runs])
    ends = lengths.cumsum()
    counts = np.concatenate(runs)
    numbers = counts.copy()
    numbers[2:] -= counts[:-2]
    # The first three of a mask stand as they are.
    first = (ends - lengths)[:, None] + np.arange(3)
    alone = first[first < ends[:, None]]
    numbers[alone] = counts[alone]
    groups = np.ones(len(numbers), np.int64)
    limit = 1 << 4  # a group holds -16 to 15
    while (longer := (numbers >= limit) | (numbers < -limit)).any():
        groups += longer
        limit <<= 5
    position = np.arange(groups.max())
    characters = (numbers[:, None] >> 5 * position) & 31
    characters |= np.where(position < groups[:, None] - 1, _MORE, 0)
    written = characters[position < groups[:, None]] + _FIRST_CHARACTER
    data: bytes = written.astype(np.uint8).tobytes()
    text = data.decode("ascii")
    stops = groups.cumsum()[ends - 1].tolist()
    return [text[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def _counts(rle: Rle) -> NDArray[np.int64]:
    """Run lengths of an encoding; COCO's files also hold them as plain lists and bytes."""
    written: str | bytes | Sequence[int] = rle["counts"]
    if not isinstance(written, str | bytes):
        return np.asarray(written, np.int64)
    data = written.encode("ascii") if isinstance(written, str) else written
    characters = np.frombuffer(data, np.uint8).astype(np.int64) - _FIRST_CHARACTER
    last = (characters & _MORE) == 0
    if not len(last) or not last[-1] or characters.min() < 0 or characters.max() > 63:
        raise InputError("expected run lengths in COCO's compressed form, got damaged text")
    starts = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    lengths = np.diff(starts, append=len(last))
    position = np.arange(len(last)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((characters & 31) << 5 * position, starts)
    negative = (characters[last] & _SIGN) != 0
    numbers -= negative.astype(np.int64) << 5 * lengths
    # Undo the differences: even and odd counts each add up on their own, the very first stands alone.
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
