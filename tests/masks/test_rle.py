import numpy as np
import pytest
from mask_samples import blobs
from pycocotools import mask as coco

from edgeblend.errors import InputError
from edgeblend.masks import rle


def reference(mask):
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}


MASKS = {
    "empty": np.zeros((5, 7), bool),
    "full": np.ones((5, 7), bool),
    "first pixel": np.arange(12).reshape(3, 4) == 0,
    "last pixel": np.arange(12).reshape(3, 4) == 11,
    "one pixel": np.ones((1, 1), bool),
    "no pixel of one": np.zeros((1, 1), bool),
    "a row": np.array([[1, 0, 0, 1, 1, 0]], bool),
    "a column": np.array([[1], [0], [0], [1], [1]], bool),
    "a column filled": np.array([[0, 1, 0], [0, 1, 0]], bool),
    "two columns filled": np.array([[0, 1, 1, 0], [0, 1, 1, 0]], bool),
    "bottom to top": np.array([[0, 0, 1], [0, 1, 1], [0, 1, 0]], bool),
    "chessboard": np.indices((9, 8)).sum(axis=0) % 2 == 1,
    "no rows": np.zeros((0, 4), bool),
    "large": np.arange(3000 * 2000).reshape(3000, 2000) % 2000 > 1234,
    **{f"noise {i}": np.random.default_rng(i).random((17, 23)) < 0.1 * i for i in range(1, 10)},
    **{f"blobs {i}": blobs(np.random.default_rng(i), (120, 90)) for i in range(5)},
}


@pytest.mark.parametrize("name", MASKS)
def test_writes_what_pycocotools_writes(name):
    assert rle.encode(MASKS[name]) == reference(MASKS[name])


@pytest.mark.parametrize("name", MASKS)
def test_reads_back(name):
    mask = MASKS[name]
    encoded = rle.encode(mask)
    decoded = rle.decode(encoded)
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)
    assert rle.area(encoded) == np.count_nonzero(mask)


def test_counts_by_hand():
    # Down the columns of [[0, 1], [1, 1]]: off 1, on 3.
    encoded = rle.encode(np.array([[0, 1], [1, 1]], bool))
    assert encoded == {"size": [2, 2], "counts": "13"}


@pytest.mark.parametrize("seed", range(10))
def test_a_region_is_the_frame_with_the_rest_off(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 30, 2).tolist()
    top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
    if seed % 2:
        top = 0  # regions that fill columns join over their ends
    hh, ww = int(rng.integers(0, height - top + 1)), int(rng.integers(0, width - left + 1))
    if seed % 4 == 1:
        hh = height
    region = rng.random((hh, ww)) < 0.7
    frame = np.zeros((height, width), bool)
    frame[top : top + hh, left : left + ww] = region
    assert rle.encode_region(region, top, left, (height, width)) == reference(frame)


def test_an_empty_region():
    assert rle.encode_region(np.zeros((0, 0), bool), 0, 0, (4, 3)) == reference(np.zeros((4, 3), bool))


def test_a_frame_of_a_hundred_megapixels_is_never_built():
    encoded = rle.encode_region(np.ones((2, 3), bool), 40_000, 50_000, (100_000, 100_000))
    assert rle.area(encoded) == 6
    assert len(encoded["counts"]) < 40


def test_reads_lists_and_bytes():
    mask = MASKS["bottom to top"]
    np.testing.assert_array_equal(
        rle.decode({"size": [3, 3], "counts": [4, 4, 1]}), [[0, 0, 1], [0, 1, 1], [0, 1, 0]]
    )
    as_bytes = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(rle.decode(as_bytes), mask)
    assert rle.area({"size": [3, 3], "counts": [4, 4, 1]}) == 4


# The last adds up to 9 in 64 bits.
@pytest.mark.parametrize(
    "counts", ["", "P", "\x1f", "~", [4, 4], [-1, 10], [9, 2**62, 2**62, 2**62, 2**62]], ids=repr
)
def test_damaged_counts_are_refused(counts):
    with pytest.raises(InputError, match="expected run lengths"):
        rle.area({"size": [3, 3], "counts": counts})
    with pytest.raises(InputError, match="expected run lengths"):
        rle.decode({"size": [3, 3], "counts": counts})


def test_a_region_beyond_the_frame_is_refused():
    with pytest.raises(InputError, match=r"within \(3, 3\)"):
        rle.encode_region(np.ones((2, 2), bool), 2, 0, (3, 3))
    with pytest.raises(InputError, match="expected a bool mask"):
        rle.encode(np.ones((2, 2), np.uint8))


@pytest.mark.parametrize("batch", [1, 40, 10_000])
def test_many_at_once_are_as_one_by_one(batch, monkeypatch):
    monkeypatch.setattr(rle, "_BATCH", batch)
    masks = [mask for mask in MASKS.values() if mask.shape[0] <= 60 and mask.shape[1] <= 60]
    size = (60, 61)
    regions = [(60 - mask.shape[0], index, mask) for index, mask in enumerate(masks)]
    frames = []
    for top, left, mask in regions:
        frames.append(np.zeros(size, bool))
        frames[-1][top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    assert rle.encode_regions(iter(regions), size) == [reference(frame) for frame in frames]


def test_none_are_none():
    assert rle.encode_regions([], (3, 4)) == []
