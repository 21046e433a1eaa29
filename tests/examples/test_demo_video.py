import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeblend.calibration.data.coco import read_coco, read_picture
from edgeblend.errors import InputError
from edgeblend.masks import rle

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "demo_model"))

import video
from emoji import ObjectLibrary, cutout_of
from objects import categories
from tracks import Track, pose_at, random_tracks

GREY = np.full((300, 400, 3), 128, np.uint8)


def square(bgr=(0, 0, 255), side=64):
    return cutout_of("square", np.full((side, side, 4), (*bgr, 255), np.uint8))


def library(classes=12):
    ids = [category["id"] for category in categories()[:classes]]
    return ObjectLibrary(tuple((one, (square((0, 3 * one, 255)),)) for one in ids), ())


def resting(category_id, center, length=40.0, angle=0.0, start=0.0):
    """An object that stays where it is for the whole video."""
    return Track(category_id, square(), start, 20.0, (center,) * 3, (length,) * 2, (angle,) * 2, False)


def footage(*tracks):
    return video.Footage(np.full((300, 400, 3), 0.5, np.float32), tracks, seed=0)


def test_a_course_runs_from_its_beginning_to_its_end():
    course = ((0.0, 0.0), (10.0, 0.0), (10.0, 20.0))
    track = Track(1, square(), 2.0, 4.0, course, (20.0, 80.0), (-10.0, 30.0), True)
    begin, middle, end = (pose_at(track, time) for time in (2.0, 4.0, 6.0))
    assert (begin.center, end.center) == ((0, 0), (10, 20))
    assert middle.center == (7.5, 5)  # a quarter of both ends and half of the point between
    assert (begin.length, middle.length, end.length) == pytest.approx((20, 40, 80))
    assert (begin.angle, middle.angle, end.angle) == (-10, 10, 30)
    assert pose_at(track, 1.9) is None
    assert pose_at(track, 6.1) is None


def test_objects_come_from_outside_and_leave():
    tracks = random_tracks(np.random.default_rng(0), library(), 12, video.SIZE, seconds=10)
    assert len({track.category_id for track in tracks}) == 12
    for track in tracks:
        for time in (0, 1):
            pose = pose_at(replace(track, start=0, duration=1), time)
            x, y = pose.center
            reach = pose.length * np.sqrt(0.5)  # half a square's diagonal
            assert x < -reach or y < -reach or x > 320 + reach or y > 240 + reach


def test_a_mask_is_where_the_object_is():
    # 16 px stay clear of the shadow, which falls to the lower right.
    _, (sighting,) = video.render(footage(resting(7, (100.0, 80.0))), 0)
    expected = np.zeros(video.SIZE, bool)
    expected[60:100, 80:120] = True
    np.testing.assert_array_equal(sighting.instance.mask, expected)
    assert (sighting.instance.category_id, sighting.track, sighting.partial) == (7, 0, False)


def test_pixels_differ_from_the_background_in_the_mask_and_only_darken_elsewhere():
    empty, none = video.render(footage(), 0)
    assert none == []
    picture, (sighting,) = video.render(footage(resting(7, (100.0, 80.0))), 0)
    mask = sighting.instance.mask
    changed = (picture != empty).any(axis=2)
    assert changed[mask].all()
    assert (picture <= empty)[~mask].all()  # its shadow
    assert not changed[:50].any()


def test_what_is_in_front_takes_the_pixels():
    behind, front = resting(1, (100.0, 80.0)), resting(2, (115.0, 80.0))
    _, (first, second) = video.render(footage(behind, front), 0)
    assert first.instance.mask.sum() == 40 * 15
    assert second.instance.mask.sum() == 40 * 40
    assert not (first.instance.mask & second.instance.mask).any()
    assert (first.partial, second.partial) == (False, False)


def test_what_is_hardly_seen_is_partial_and_what_is_hidden_is_gone():
    nearly = resting(1, (100.0, 80.0)), resting(2, (105.0, 80.0))
    _, (first, _) = video.render(footage(*nearly), 0)
    assert first.instance.mask.sum() == 40 * 5  # an eighth
    assert first.partial
    fully = resting(1, (100.0, 80.0), length=20.0), resting(2, (105.0, 80.0))
    assert [seen.track for seen in video.render(footage(*fully), 0)[1]] == [1]


def test_an_object_at_the_edge_is_partial():
    _, (most,) = video.render(footage(resting(1, (0.0, 80.0))), 0)
    _, (little,) = video.render(footage(resting(1, (-12.0, 80.0))), 0)
    assert (most.instance.mask.sum(), little.instance.mask.sum()) == (20 * 40, 8 * 40)
    assert (most.partial, little.partial) == (False, True)
    assert video.render(footage(resting(1, (-40.0, 80.0))), 0)[1] == []


def test_a_frame_is_a_function_of_seed_and_number():
    one, other = (video.make_footage(library(), GREY, seed) for seed in (3, 4))
    first, _ = video.render(one, 100)
    video.render(one, 101)
    np.testing.assert_array_equal(first, video.render(one, 100)[0])
    assert (first != video.render(other, 100)[0]).any()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("video")
    video.write_video(out, library(), GREY, seed=0)
    return out


def test_extracted_frames_are_read_with_their_objects(written, tmp_path):
    files = video.extract_frames(written / "video.mp4", written / "video.json", tmp_path)
    assert [file.name for file in files] == [f"video_{frame:06d}.png" for frame in range(0, 250, 10)]
    dataset = read_coco(written / "video.json", tmp_path)
    assert len(dataset.images) == 25
    shown = video.make_footage(library(), GREY, 0)
    for frame, image in zip(range(0, 250, 10), dataset.images, strict=True):
        expected, sightings = video.render(shown, frame)
        picture = read_picture(image).astype(int)
        later, _ = video.render(shown, frame + 5)
        # What compression costs is less than what moves in a fifth of a second.
        assert np.abs(picture - expected).mean() < np.abs(picture - later).mean() / 2
        assert [item.crowd for item in image.objects] == [seen.partial for seen in sightings]
        for item, seen in zip(image.objects, sightings, strict=True):
            np.testing.assert_array_equal(item.mask(*video.SIZE), seen.instance.mask)


def test_a_track_keeps_its_class(written):
    document = json.loads((written / "video.json").read_text())
    classes = {(one["track_id"], one["category_id"]) for one in document["annotations"]}
    assert len(classes) == len({track for track, _ in classes}) == 10
    assert rle.decode(document["annotations"][0]["segmentation"]).shape == video.SIZE


def test_a_file_that_is_no_video_is_refused(written, tmp_path):
    (tmp_path / "video.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="expected a video"):
        video.extract_frames(tmp_path / "video.mp4", written / "video.json", tmp_path)


def test_a_video_that_ends_early_is_refused(written, tmp_path):
    short = cv2.VideoWriter(str(tmp_path / "short.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 240))
    for _ in range(30):
        short.write(np.zeros((240, 320, 3), np.uint8))
    short.release()
    with pytest.raises(InputError, match="expected frame 240, which is annotated, got 30 frames"):
        video.extract_frames(tmp_path / "short.mp4", written / "video.json", tmp_path)
