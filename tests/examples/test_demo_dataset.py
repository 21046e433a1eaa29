import hashlib
import io
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgeblend.errors import InputError
from edgeblend.masks import rle

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "demo_model"))

import compose as composing
import make_dataset
import objects
import photographs
import sources
from annotations import annotation_of
from emoji import ObjectLibrary, cutout_of
from paste import Pose, full_area, warp


def square(side=64, bgr=(0, 0, 255)):
    return cutout_of("square", np.full((side, side, 4), (*bgr, 255), np.uint8))


def disc(side=64):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = np.where(x * x + y * y < (side / 2) ** 2, 255, 0)
    return cutout_of("disc", np.dstack([np.full((side, side, 3), 200), alpha]).astype(np.uint8))


@pytest.fixture
def studio():
    library = ObjectLibrary(((7, (square(),)), (9, (disc(),))), (square(bgr=(0, 255, 0)),))
    noise = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    return make_dataset.Studio(0, "val", library, [noise])


def test_a_picture_is_a_function_of_seed_part_and_index(studio):
    first, _ = make_dataset.make_picture(studio, 3)
    make_dataset.make_picture(studio, 4)
    again, _ = make_dataset.make_picture(studio, 3)
    np.testing.assert_array_equal(first.image, again.image)
    assert len(first.instances) == len(again.instances) > 0
    for one, other in zip(first.instances, again.instances, strict=True):
        assert one.category_id == other.category_id
        np.testing.assert_array_equal(one.mask, other.mask)


def test_pictures_differ(studio):
    fifth, sixth = (make_dataset.make_picture(studio, index)[0].image for index in (5, 6))
    assert fifth.shape != sixth.shape or (fifth != sixth).any()


def test_no_pixel_belongs_to_two_objects_and_every_object_shows(studio):
    counts = Counter()
    for index in range(40):
        scene, _ = make_dataset.make_picture(studio, index)
        counts[len(scene.instances)] += 1
        claimed = np.zeros(scene.image.shape[:2], int)
        for instance in scene.instances:
            claimed += instance.mask
            assert instance.mask.sum() >= composing.MIN_VISIBLE_AREA
        assert claimed.max() <= 1
    assert max(counts) >= 6
    assert min(counts) <= 2


def test_distractors_are_not_labelled(studio):
    ids = {
        one.category_id
        for index in range(60)
        for one in make_dataset.make_picture(studio, index)[0].instances
    }
    assert ids == {7, 9}


def test_an_object_that_would_hide_another_is_left_out():
    rng, canvas = np.random.default_rng(0), np.zeros((40, 40, 3), np.float32)
    lighting = composing.random_lighting(rng)
    small = np.zeros((40, 40), bool)
    small[16:24, 16:24] = True
    placed = [composing._Placed(7, small, 64)]
    frame_filling = Pose(length=160, angle=0, stretch=1, mirrored=False)
    assert composing._place(rng, canvas, placed, 9, square(), frame_filling, lighting) == placed
    assert not canvas.any()


def test_warp_puts_an_opaque_square_on_exactly_its_pixels():
    cutout = cutout_of("square", np.full((4, 4, 4), 255, np.uint8))
    pose = Pose(length=4, angle=0, stretch=1, mirrored=False, center=(5, 4))
    patch = warp(cutout, pose, (8, 10))
    mask = np.zeros((8, 10), bool)
    mask[patch.top : patch.bottom, patch.left : patch.right] = patch.mask
    expected = np.zeros((8, 10), bool)
    expected[2:6, 3:7] = True
    np.testing.assert_array_equal(mask, expected)
    assert full_area(cutout, pose) == 16


def test_warp_turns_counter_clockwise():
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[:, 40:] = 255  # trimmed to 66 x 26 at most: a bar that stands
    bar = cutout_of("bar", picture)
    standing = warp(bar, Pose(60, 0, 1, False, (50, 50)), (100, 100)).mask
    lying = warp(bar, Pose(60, 90, 1, False, (50, 50)), (100, 100)).mask
    assert np.ptp(np.flatnonzero(standing.any(1))) > np.ptp(np.flatnonzero(standing.any(0)))
    assert np.ptp(np.flatnonzero(lying.any(1))) < np.ptp(np.flatnonzero(lying.any(0)))


def test_warp_outside_the_frame_is_empty():
    patch = warp(square(), Pose(20, 0, 1, False, (-50, 10)), (40, 40))
    assert patch.mask.shape == (0, 0)


def test_annotation_is_of_the_visible_mask():
    mask = np.array(
        [
            [0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0],
            [0, 1, 0, 0, 0],
            [0, 1, 1, 0, 0],
        ],
        bool,
    )
    annotation = annotation_of(composing.Instance(17, mask))
    assert annotation["bbox"] == [1, 1, 2, 3]
    assert annotation["area"] == 4
    assert annotation["category_id"] == 17
    np.testing.assert_array_equal(rle.decode(annotation["segmentation"]), mask)


def test_no_picture_shows_two_classes():
    pictures = Counter(name for names in objects.CLASS_PICTURES.values() for name in names)
    pictures.update(objects.DISTRACTOR_PICTURES)
    assert set(pictures.values()) == {1}


def test_categories_have_the_ids_of_coco():
    ids = {category["name"]: category["id"] for category in objects.categories()}
    assert len(ids) == 40
    assert (ids["person"], ids["backpack"], ids["teddy bear"]) == (1, 27, 88)


def test_no_photograph_serves_two_parts():
    files = Counter((one.package.archive, one.member) for one in photographs.PHOTOGRAPHS)
    assert set(files.values()) == {1}
    assert {one.part for one in photographs.PHOTOGRAPHS} == {"train", "val", "calibration", "video"}


def packed(tmp_path, kind):
    archive = tmp_path / f"package.{kind}"
    if kind == "wheel":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("data/a.txt", "hello")
    else:
        with tarfile.open(archive, "w:gz") as file:
            entry = tarfile.TarInfo("data/a.txt")
            entry.size = 5
            file.addfile(entry, io.BytesIO(b"hello"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return sources.Package(kind, "package", "1.0", archive.name, digest)


@pytest.mark.parametrize("kind", ["wheel", "npm"])
def test_members_are_read_from_the_cache(tmp_path, kind):
    package = packed(tmp_path, kind)
    assert sources.read_members(package, tmp_path, ["data/a.txt"]) == {"data/a.txt": b"hello"}
    with pytest.raises(InputError, match=r"expected data/b\.txt"):
        sources.read_members(package, tmp_path, ["data/b.txt"])


def test_an_altered_archive_is_refused(tmp_path):
    package = packed(tmp_path, "npm")
    with (tmp_path / package.archive).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match="expected SHA-256"):
        sources.read_members(package, tmp_path, ["data/a.txt"])


def test_a_missing_tool_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.shutil, "which", lambda tool: None)
    package = sources.Package("deb", "photos", "1.0", "photos_1.0_all.deb", "0" * 64)
    with pytest.raises(InputError, match=r"apt-get.*photos_1\.0_all\.deb"):
        sources.fetch_package(package, tmp_path)


def test_a_failing_package_manager_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sources, "_fetch_command", lambda package: ["sh", "-c", "echo no such package >&2; exit 1"]
    )
    package = sources.Package("npm", "photos", "1.0", "photos-1.0.tgz", "0" * 64)
    with pytest.raises(InputError, match="no such package"):
        sources.fetch_package(package, tmp_path)
