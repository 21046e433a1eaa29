from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeblend.calibration.data.frames import open_frames
from edgeblend.calibration.sampling.descriptor import NEAR_DUPLICATE, describe, differences

DATA = Path(str(files("edgeblend.demo_data")))


def plain(*colour):
    return np.full((60, 80, 3), colour, np.uint8)


def between(first, second):
    """Return the largest and the mean difference of two pictures."""
    largest, mean = differences(describe(first)[None], describe(second))
    return float(largest[0]), float(mean[0])


def pictures_of(name, every=1):
    return [frame.picture for frame in open_frames(DATA / name, every=every).read()]


def test_a_plain_picture_is_its_colour_without_contrast():
    descriptor = describe(plain(10, 20, 30))
    assert descriptor.shape == (64, 4) and descriptor.dtype == np.float32
    np.testing.assert_array_equal(descriptor, np.tile([10, 20, 30, 0], (64, 1)))


def test_cells_run_along_rows():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[0:8, 8:16] = 80  # the second cell
    assert np.flatnonzero(describe(picture)[:, 0]).tolist() == [1]


def test_contrast_is_the_deviation_of_grey():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[::2] = 40  # half 0, half 40: 20 on the mean, and 20 from it
    np.testing.assert_allclose(describe(picture), np.full((64, 4), 20), atol=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "largest", "mean"),
    [
        (plain(50, 50, 50), plain(57, 57, 57), 7, 7),
        (plain(50, 50, 50), plain(50, 50, 62), 12 / 3**0.5, 12 / 3**0.5),
        (plain(50, 50, 50), plain(50, 50, 50), 0, 0),
    ],
)
def test_differences_by_hand(first, second, largest, mean):
    assert between(first, second) == pytest.approx((largest, mean), abs=1e-4)


def test_one_cell_of_64_counts_wholly_in_the_largest_and_an_eighth_on_the_mean():
    changed = np.full((64, 64, 3), 50, np.uint8)
    changed[:8, :8] += 80
    assert between(np.full((64, 64, 3), 50, np.uint8), changed) == pytest.approx((80, 10), abs=1e-4)


def test_size_and_shape_do_not_matter_but_a_mirror_image_does():
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[:, :40] = 200
    assert between(picture, cv2.resize(picture, (40, 90), interpolation=cv2.INTER_NEAREST))[0] < 1
    assert between(picture, picture[:, ::-1].copy())[0] == 200


def test_pictures_smaller_than_the_cells():
    assert between(np.full((1, 1, 3), 9, np.uint8), plain(9, 9, 9)) == (0, 0)


def test_copies_of_a_picture_are_near_duplicates():
    rng = np.random.default_rng(0)
    for picture in pictures_of("val", every=20):
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
        noisy = np.clip(picture + rng.normal(0, 15, picture.shape), 0, 255).round().astype(np.uint8)
        half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        for copy in (cv2.imdecode(encoded, cv2.IMREAD_COLOR), noisy, half):
            assert between(picture, copy)[0] < NEAR_DUPLICATE / 2


def test_consecutive_frames_of_the_demo_video_are_near_duplicates_and_those_of_a_second_later_are_not():
    frames = [describe(picture) for picture in pictures_of("video.mp4")]
    steps = [
        differences(first[None], second)[0][0] for first, second in zip(frames, frames[1:], strict=False)
    ]
    assert max(steps) <= NEAR_DUPLICATE
    seconds = [
        differences(first[None], second)[0][0] for first, second in zip(frames, frames[25:], strict=False)
    ]
    assert min(seconds) > NEAR_DUPLICATE


@pytest.mark.parametrize("part", ["val", "calibration"])
def test_different_pictures_are_not_near_duplicates(part):
    descriptors = np.stack([describe(picture) for picture in pictures_of(part)])
    for index, descriptor in enumerate(descriptors):
        largest = differences(descriptors, descriptor)[0]
        assert np.flatnonzero(largest <= NEAR_DUPLICATE).tolist() == [index]
