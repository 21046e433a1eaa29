"""The demo data as they are shipped: complete, consistent, and labelled where the objects are."""

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeblend.calibration.data.coco import read_coco, read_picture
from edgeblend.class_list import ClassList, read_class_list
from edgeblend.masks import rle

DATA = Path(str(files("edgeblend.demo_data")))
LARGEST = 25_000_000  # bytes of the whole folder
PICTURES = {"val": 200, "calibration": 100}


def document(part):
    return json.loads((DATA / f"{part}.json").read_text())


def frames():
    """All frames of the video."""
    capture = cv2.VideoCapture(str(DATA / "video.mp4"))
    found = []
    while (read := capture.read())[0]:
        found.append(read[1])
    assert capture.get(cv2.CAP_PROP_FPS) == 25
    return found


def contrast(picture, mask):
    """Mean gradient of a picture along a mask's outline, without what lies on the picture's border."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    gradient = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    outline = mask & (inner == 0)
    return gradient[outline].mean() if outline.any() else 0.0


def beside(mask):
    """The mask where it is not: 12 pixels off, diagonally."""
    return np.roll(mask, (12, 12), (0, 1))


def share_on_edges(pairs):
    """Share of (picture, mask) whose outline has more contrast than the same outline beside it."""
    return np.mean([contrast(picture, mask) > contrast(picture, beside(mask)) for picture, mask in pairs])


def test_the_list_of_classes_has_the_category_ids_of_the_labels():
    dataset = read_coco(DATA / "val.json")
    assert read_class_list(DATA / "classes.txt") == ClassList(dataset.class_names, dataset.category_ids)


def test_the_folder_is_small_enough_to_ship():
    assert sum(file.stat().st_size for file in DATA.rglob("*") if file.is_file()) <= LARGEST


@pytest.mark.parametrize("part", PICTURES)
def test_every_picture_is_there_and_every_object_usable(part):
    dataset = read_coco(DATA / f"{part}.json")
    assert len(dataset.images) == PICTURES[part]
    assert {image.path.name for image in dataset.images} == {file.name for file in (DATA / part).iterdir()}
    assert not [note for note in dataset.notes if "without objects" not in note]
    assert len(dataset.class_names) == 40
    for image in dataset.images:
        read_picture(image)  # compares its size


def test_all_classes_are_in_the_validation_pictures():
    dataset = read_coco(DATA / "val.json")
    assert {item.class_index for image in dataset.images for item in image.objects} == set(range(40))


@pytest.mark.parametrize("part", [*PICTURES, "video"])
def test_boxes_and_areas_are_the_masks(part):
    for item in document(part)["annotations"]:
        mask = rle.decode(item["segmentation"])
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert (item["bbox"], item["area"]) == (box, mask.sum())


@pytest.mark.parametrize("part", [*PICTURES, "video"])
def test_no_pixel_belongs_to_two_objects(part):
    content = document(part)
    claimed = {image["id"]: np.zeros((image["height"], image["width"]), int) for image in content["images"]}
    for item in content["annotations"]:
        claimed[item["image_id"]] += rle.decode(item["segmentation"])
    assert max(claims.max() for claims in claimed.values()) == 1


def test_validation_and_calibration_share_no_picture():
    val, calibration = (
        {hashlib.sha256(file.read_bytes()).hexdigest() for file in (DATA / part).iterdir()}
        for part in PICTURES
    )
    assert (len(val), len(calibration)) == (200, 100)
    assert not val & calibration


@pytest.mark.parametrize("part", PICTURES)
def test_pictures_have_edges_where_their_masks_do(part):
    dataset = read_coco(DATA / f"{part}.json")
    pairs = [
        (picture, item.mask(*picture.shape[:2]))
        for image in dataset.images[::4]
        for picture in [read_picture(image)]
        for item in image.objects
    ]
    assert share_on_edges(pairs) > 0.9
    assert share_on_edges([(picture, beside(mask)) for picture, mask in pairs]) < 0.8


def test_the_video_has_edges_where_its_masks_do():
    shown, content = frames(), document("video")
    assert len(shown) == 250
    assert {frame.shape for frame in shown} == {(240, 320, 3)}
    numbers = {image["id"]: image["frame"] for image in content["images"]}
    assert list(numbers.values()) == list(range(0, 250, 10))
    assert all(image["file_name"] == f"video_{image['frame']:06d}.png" for image in content["images"])
    found = [
        (numbers[item["image_id"]], rle.decode(item["segmentation"]))
        for item in content["annotations"]
        if not item["iscrowd"]
    ]
    assert len({item["track_id"] for item in content["annotations"]}) == 10
    assert share_on_edges([(shown[frame], mask) for frame, mask in found]) > 0.9
    late = [(shown[min(frame + 9, 249)], mask) for frame, mask in found]
    assert share_on_edges(late) < 0.8


def test_licences_are_named():
    text = (DATA / "LICENSES.md").read_text()
    assert "Copyright (c) Microsoft Corporation" in text
    assert "Permission is hereby granted" in text.replace("\n> ", " ")
