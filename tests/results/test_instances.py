import dataclasses
import json
import subprocess
import sys
import types

import numpy as np
import pytest
from pycocotools import mask as coco

from edgeblend.classes import COCO_STUFF, COCO_STUFF_IDS, COCO_THING_IDS, COCO_THINGS
from edgeblend.errors import InputError, MissingPackageError
from edgeblend.results import Instance, Instances

NAMES = ("cat", "dog", "cow")


def three(**changes):
    """Three 2x2 masks on a 4x6 frame: full, a left half, and full over the border."""
    boxes = np.array([[0, 0, 2, 2], [1, 1, 5, 3], [4, 2, 6, 4]], np.float32)
    probs = np.ones((3, 2, 2), np.float32)
    probs[1, :, 1] = 0
    arrays = {
        "boxes": boxes,
        "scores": np.array([0.98, 0.5, 0.25], np.float32),
        "classes": np.array([1, 0, 1]),
        "class_names": NAMES,
        "mask_probs": probs,
        "mask_boxes": boxes,
        "frame_size": (4, 6),
        "timings_ms": {"decode": 0.5},
    }
    return Instances(**(arrays | changes))


def with_a_hole():
    probs = np.ones((1, 5, 5), np.float32)
    probs[0, 2, 2] = 0
    box = np.array([[1, 1, 6, 6]], np.float32)
    return Instances(box, np.ones(1, np.float32), np.zeros(1, np.int64), NAMES, probs, box, (8, 9))


def test_masks():
    masks = three().masks()
    expected = np.zeros((3, 4, 6), bool)
    expected[0, 0:2, 0:2] = True
    expected[1, 1:3, 1:3] = True
    expected[2, 2:4, 4:6] = True
    np.testing.assert_array_equal(masks, expected)
    assert three().areas().tolist() == [4, 4, 4]


def test_every_form_of_a_mask_is_the_same_mask():
    instances = three()
    for mask, encoded, polygons in zip(
        instances.masks(0.4), instances.rle(0.4), instances.polygons(0.4), strict=True
    ):
        np.testing.assert_array_equal(coco.decode(encoded), mask)
        assert sum(polygon.area for polygon in polygons) == mask.sum()


def test_indexing():
    instances = three()
    assert isinstance(instances[0], Instance) and isinstance(instances[:1], Instances)
    assert instances[0].name == "dog"
    assert instances[-1].score == 0.25
    assert instances[1:].names == ["cat", "dog"]
    assert instances[[2, 0]].scores.tolist() == pytest.approx([0.25, 0.98])
    assert instances[instances.classes == 1].scores.tolist() == pytest.approx([0.98, 0.25])
    assert instances[np.int64(1)].name == "cat"
    assert len(instances[[]]) == 0
    assert instances[[1]].mask_probs.shape == (1, 2, 2)
    assert instances[1:2].timings_ms == {"decode": 0.5}
    for index in (3, -4):
        with pytest.raises(IndexError):
            instances[index]


def test_iterating():
    assert [(one.name, one.score) for one in three()[1:]] == [("cat", 0.5), ("dog", 0.25)]
    assert [one.name for one in three()] == three().names


def test_representation():
    instances = three()
    assert repr(instances) == "3 instances in 4x6: dog 0.98, cat 0.50, dog 0.25"
    assert repr(instances[:1]) == "1 instance in 4x6: dog 0.98"
    assert repr(instances[[0, 1, 2, 0]]) == "4 instances in 4x6: dog 0.98, cat 0.50, dog 0.25, ..."
    assert repr(instances[:0]) == "0 instances in 4x6"


def test_empty():
    nobody = Instances.empty((4, 6), NAMES, 56)
    assert len(nobody) == 0
    assert nobody.masks().shape == (0, 4, 6)
    assert nobody.mask_probs.shape == (0, 56, 56)
    assert nobody.rle() == nobody.polygons() == nobody.names == nobody.to_coco(1) == list(nobody) == []
    assert nobody.areas().shape == (0,)
    assert dict(nobody.timings_ms) == {}


def test_arrays_cannot_be_written_and_the_callers_still_can():
    boxes = np.array([[0, 0, 2, 2]], np.float32)
    one = three()[:1]
    one = dataclasses.replace(one, boxes=boxes)
    for name in ("boxes", "scores", "classes", "mask_probs", "mask_boxes"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(one, name)[0] = 0
    boxes[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.boxes = boxes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": np.zeros((2, 4), np.float32)}, r"boxes of shape \(3, 4\) and float32, got \(2, 4\)"),
        ({"boxes": np.zeros((3, 4))}, "float64"),
        ({"classes": np.zeros(3, np.int32)}, "classes .* int32"),
        ({"mask_probs": np.zeros((3, 2, 5), np.float32)}, "mask_probs"),
        ({"mask_probs": np.zeros((), np.float32)}, "mask_probs"),
        ({"mask_boxes": np.zeros((3, 5), np.float32)}, "mask_boxes"),
        ({"classes": np.array([0, 1, 3])}, "expected classes below 3.* got 0 to 3"),
        ({"classes": np.array([0, 1, -1])}, "got -1 to 1"),
    ],
)
def test_wrong_arrays_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        three(**changes)


def test_coco_records():
    instances = three()
    records = json.loads(json.dumps(instances.to_coco(42)))
    assert [record["category_id"] for record in records] == [2, 1, 2]
    assert [record["image_id"] for record in records] == [42] * 3
    assert records[1]["bbox"] == [1, 1, 4, 2]
    assert records[1]["score"] == 0.5
    for record, mask in zip(records, instances.masks(), strict=True):
        np.testing.assert_array_equal(coco.decode(record["segmentation"]), mask)


def test_coco_polygons():
    instances = three()
    for record, mask in zip(instances.to_coco(1, segmentation="polygons"), instances.masks(), strict=True):
        encoded = coco.frPyObjects(json.loads(json.dumps(record["segmentation"])), 4, 6)
        np.testing.assert_array_equal(coco.decode(coco.merge(encoded)), mask)


def test_coco_polygons_fall_back_to_rle_for_holes_and_empty_masks():
    holed = with_a_hole()
    (record,) = holed.to_coco(1, segmentation="polygons")
    np.testing.assert_array_equal(coco.decode(record["segmentation"]), holed.masks()[0])
    assert holed.areas().tolist() == [24]
    blank = dataclasses.replace(holed, mask_probs=np.zeros((1, 5, 5), np.float32))
    (record,) = blank.to_coco(1, segmentation="polygons")
    assert coco.area(record["segmentation"]) == 0


def test_category_ids():
    instances = three()
    assert instances.category_ids == (1, 2, 3)
    assert [r["category_id"] for r in instances.to_coco(1, category_ids=[7, 8, 9])] == [8, 7, 8]
    with pytest.raises(InputError, match="expected 3 category ids"):
        instances.to_coco(1, category_ids=[7, 8])
    with pytest.raises(InputError, match="category_ids: expected whole numbers"):
        instances.to_coco(1, category_ids=[7, 8, 9.5])
    official = three(class_names=COCO_THINGS, classes=np.array([0, 11, 79]))
    assert [r["category_id"] for r in official.to_coco(1)] == [1, 13, 90]


def test_records_have_the_data_sets_own_category_ids():
    instances = three(category_ids=(3, 0, 7))
    assert [r["category_id"] for r in instances.to_coco(1)] == [0, 3, 0]
    assert [r["category_id"] for r in instances[1:].to_coco(1)] == [3, 0]
    assert [one.category_id for one in instances] == [0, 3, 0]
    assert Instances.empty((4, 6), NAMES, 2, category_ids=(3, 0, 7)).category_ids == (3, 0, 7)
    with pytest.raises(InputError, match="expected 3 category ids, one per class, got 2"):
        three(category_ids=(3, 7))


@pytest.mark.parametrize("word", ["polygon", "Polygons", "mask", "", None, 1])
def test_segmentation_is_one_of_two_words(word):
    with pytest.raises(InputError, match="segmentation: unknown value .*; choose one of rle, polygons"):
        three().to_coco(1, segmentation=word)


@pytest.mark.parametrize("threshold", [1.5, -1, float("nan"), "0.5", None, True])
@pytest.mark.parametrize("method", ["masks", "rle", "polygons", "areas", "to_supervision"])
def test_a_threshold_is_a_probability(method, threshold):
    with pytest.raises(InputError, match="threshold must be from 0 to 1, got"):
        getattr(three(), method)(threshold)
    with pytest.raises(InputError, match="threshold must be from 0 to 1, got"):
        three().to_coco(1, threshold=threshold)


def test_coco_classes():
    assert len(COCO_THINGS) == len(COCO_THING_IDS) == len(set(COCO_THINGS)) == 80
    assert set(range(1, 91)) - set(COCO_THING_IDS) == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert len(COCO_STUFF) == len(COCO_STUFF_IDS) + 1 == len(set(COCO_STUFF)) == 54
    thing = dict(zip(COCO_THINGS, COCO_THING_IDS, strict=True))
    some = {"person": 1, "stop sign": 13, "backpack": 27, "handbag": 31, "wine glass": 46, "toilet": 70}
    assert some.items() <= thing.items()
    stuff = dict(zip(COCO_STUFF[1:], COCO_STUFF_IDS, strict=True))
    some = {
        "banner": 92,
        "fruit": 122,
        "road": 149,
        "window-other": 181,
        "tree-merged": 184,
        "rug-merged": 200,
    }
    assert some.items() <= stuff.items()


def test_supervision_receives_arrays_of_its_own(monkeypatch):
    fake = types.ModuleType("supervision")
    fake.Detections = lambda **given: given
    monkeypatch.setitem(sys.modules, "supervision", fake)
    instances = three()
    given = instances.to_supervision()
    np.testing.assert_array_equal(given["xyxy"], instances.boxes)
    np.testing.assert_array_equal(given["mask"], instances.masks())
    assert given["class_id"].tolist() == [1, 0, 1]
    assert given["data"]["class_name"].tolist() == ["dog", "cat", "dog"]
    given["confidence"][:] = 0
    assert instances.scores[0] > 0


def test_the_real_supervision():
    supervision = pytest.importorskip("supervision")
    detections = three().to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert len(detections) == 3
    assert detections.mask.shape == (3, 4, 6)
    assert len(Instances.empty((4, 6), NAMES, 2).to_supervision()) == 0


def test_a_missing_supervision_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingPackageError, match=r'pip install "edgeblend\[supervision\]"'):
        three().to_supervision()


def test_importing_results_loads_neither_opencv_nor_an_engine():
    code = "import edgeblend.results, sys; print(sorted({'cv2', 'torch', 'openvino'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
