"""Files as annotation tools write them: what is clear is read, and noted where something was changed."""

import json
import math

import cv2
import numpy as np
import pytest

from edgeblend.calibration.data.coco import read_coco
from edgeblend.calibration.data.frames import open_frames
from edgeblend.errors import InputError

SQUARE = [1, 1, 5, 1, 5, 4, 1, 4]
NOT_FINITE = "1 numbers given as NaN or Infinity were read as missing"
AS_TEXT = "numbers given as text, or whole ones with a point, were read as numbers"


def document():
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 9, "height": 8},
            {"id": 8, "file_name": "b.png", "width": 9, "height": 8},
        ],
        "annotations": [annotation(), annotation(id=2, image_id=8, category_id=5)],
        "categories": [{"id": 2, "name": "cat"}, {"id": 5, "name": "dog"}],
    }


def annotation(**changes):
    return {
        "id": 1,
        "image_id": 7,
        "category_id": 2,
        "bbox": [1, 1, 4, 3],
        "area": 12,
        "iscrowd": 0,
        "segmentation": [SQUARE],
        **changes,
    }


@pytest.fixture
def write(tmp_path):
    def write_document(content):
        (tmp_path / "sub").mkdir()
        for name in ("a.png", "b.png", "sub/c.png"):
            cv2.imwrite(str(tmp_path / name), np.zeros((8, 9, 3), np.uint8))
        path = tmp_path / "train.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write_document


def changed(change):
    made = document()
    change(made)
    return made


def first(**fields):
    return changed(lambda made: made["annotations"][0].update(fields))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings(write, encoding):
    content = changed(lambda made: made["categories"][0].update(name="猫"))
    dataset = read_coco(write(json.dumps(content, ensure_ascii=False).encode(encoding)))
    assert dataset.class_names == ("猫", "dog") and dataset.notes == ()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_an_area_that_is_no_number_is_computed(write, number):
    dataset = read_coco(write(first(area=number)))
    assert dataset.images[0].objects[0].area == 12
    assert dataset.notes == (NOT_FINITE,)


def test_what_is_in_strings_is_no_number(write):
    def name_it(made):
        made["categories"][0]["name"] = 'NaN, "Infinity" \\'
        made["annotations"][0]["area"] = math.nan

    dataset = read_coco(write(changed(name_it)))
    assert dataset.class_names[0] == 'NaN, "Infinity" \\'
    assert dataset.notes == (NOT_FINITE,)


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [
        ([[2, 3, 6, 3, 6, 7]], [2, 3, 6, 7]),
        ([[-4, 3, 6, 3, 6, 7]], [0, 3, 6, 7]),
        ({"size": [8, 9], "counts": [9, 3, 5, 3, 52]}, [1, 1, 3, 4]),
    ],
)
@pytest.mark.parametrize("bbox", [None, [1, 1, math.nan, 3], [math.inf, 1, 1, 1]])
def test_a_box_that_is_missing_is_the_masks(write, bbox, segmentation, box):
    dataset = read_coco(write(first(bbox=bbox, segmentation=segmentation)))
    assert dataset.images[0].objects[0].box.tolist() == box
    assert "1 boxes missing or not finite: taken from their masks" in dataset.notes


@pytest.mark.parametrize("bbox", [[1, 1, 0, 3], [4, 4, -3, -3], [5, 5, 2, -1]])
def test_a_box_without_an_area_is_the_masks(write, bbox):
    dataset = read_coco(write(first(bbox=bbox, segmentation=[[2, 3, 6, 3, 6, 7]])))
    assert dataset.images[0].objects[0].box.tolist() == [2, 3, 6, 7]
    assert "1 boxes without an area: taken from their masks" in dataset.notes


def test_a_box_and_a_mask_without_an_area_are_dropped(write):
    dataset = read_coco(write(first(bbox=[4, 4, -3, -3], segmentation=[[1, 1, 2, 2, 3, 3]])))
    assert 1 not in [item.id for item in dataset.images[0].objects]
    assert "1 objects dropped: polygons without an area" in dataset.notes


TRIANGLE = [[2, 3], [6, 3], [6, 7]]
POINTS = "1 polygons given as points [x, y]: read as they are meant"
NULL = "{} polygons that are null left out of masks"


@pytest.mark.parametrize(
    ("segmentation", "rings", "note"),
    [
        (TRIANGLE, [[2, 3, 6, 3, 6, 7]], POINTS),
        ([TRIANGLE], [[2, 3, 6, 3, 6, 7]], POINTS),
        ([TRIANGLE, [1, 1, 2, 1, 2, 2]], [[2, 3, 6, 3, 6, 7], [1, 1, 2, 1, 2, 2]], POINTS),
        ([None, [2, 3, 6, 3, 6, 7]], [[2, 3, 6, 3, 6, 7]], NULL.format(1)),
        ([None, *TRIANGLE, None], [[2, 3, 6, 3, 6, 7]], NULL.format(2)),
    ],
)
def test_polygons_in_another_form_are_read_as_they_are_meant(write, segmentation, rings, note):
    dataset = read_coco(write(first(segmentation=segmentation)))
    assert [ring.tolist() for ring in dataset.images[0].objects[0].segmentation] == rings
    assert note in dataset.notes


def test_null_alone_is_no_polygon(write):
    dataset = read_coco(write(first(segmentation=[None])))
    assert "1 objects dropped: no segmentation" in dataset.notes


@pytest.mark.parametrize(
    "segmentation", [[[2, None, 6, 3, 6, 7]], [["a", "b"]], [[[1, 2, 3]]], [{"x": 1}], 5]
)
def test_polygons_that_mean_nothing_are_refused(write, segmentation):
    with pytest.raises(InputError, match="segmentations are wrong: annotation .*: segmentation: Expected"):
        read_coco(write(first(segmentation=segmentation)))


@pytest.mark.parametrize("bbox", [[1e308, 1, 1e308, 3], [-1e308, 1, 1, 3]])
def test_boxes_far_away_are_outside(write, bbox):
    assert read_coco(write(first(bbox=bbox))).notes[0] == "1 objects dropped: outside the picture"


@pytest.mark.parametrize("form", [float, str])
def test_whole_numbers_written_otherwise(write, form):
    def write_otherwise(made):
        for image in made["images"]:
            image.update({key: form(image[key]) for key in ("id", "width", "height")})
        for item in made["annotations"]:
            item.update({key: form(item[key]) for key in ("id", "image_id", "category_id", "iscrowd")})
        for category in made["categories"]:
            category["id"] = form(category["id"])

    dataset = read_coco(write(changed(write_otherwise)))
    assert dataset.category_ids == (2, 5) and [image.id for image in dataset.images] == [7, 8]
    assert all(isinstance(number, int) for number in dataset.category_ids)
    assert [len(image.objects) for image in dataset.images] == [1, 1]
    assert dataset.notes == (AS_TEXT,)


def test_run_lengths_written_with_a_point(write):
    dataset = read_coco(write(first(segmentation={"size": [8.0, 9.0], "counts": [9.0, 3.0, 60.0]})))
    assert dataset.images[0].objects[0].mask(8, 9).sum() == 3


@pytest.mark.parametrize("field", ["id", "iscrowd", "area"])
@pytest.mark.parametrize("how", ["missing", "null"])
def test_fields_of_an_annotation_that_may_be_missing(write, field, how):
    def leave_out(made):
        made["annotations"][0].pop(field)
        if how == "null" and field != "id":
            made["annotations"][0][field] = None

    dataset = read_coco(write(changed(leave_out)))
    (item,) = dataset.images[0].objects
    assert (item.crowd, item.area, dataset.notes) == (False, 12, ())


def test_sizes_that_are_missing_are_the_pictures(write):
    def leave_out(made):
        made["images"][0].pop("width")
        made["images"][1]["height"] = None

    dataset = read_coco(write(changed(leave_out)))
    assert [(image.width, image.height) for image in dataset.images] == [(9, 8), (9, 8)]
    assert dataset.notes == ("2 pictures without width or height: taken from the files",)


def test_backslashes(write):
    dataset = read_coco(write(changed(lambda made: made["images"][0].update(file_name="sub\\c.png"))))
    assert dataset.images[0].path.as_posix().endswith("sub/c.png")
    assert dataset.notes == ("1 file names with backslashes were read with slashes",)


def test_a_file_whose_name_has_a_backslash_is_itself(write, tmp_path):
    path = write(changed(lambda made: made["images"][0].update(file_name="x\\a.png")))
    (tmp_path / "x\\a.png").write_bytes((tmp_path / "a.png").read_bytes())
    dataset = read_coco(path)
    assert dataset.images[0].path.name == "x\\a.png" and dataset.notes == ()


@pytest.mark.parametrize("name", ["a.png", "./a.png", ".\\a.png"])
def test_one_file_under_two_ids_is_noted(write, name):
    dataset = read_coco(write(changed(lambda made: made["images"][1].update(file_name=name))))
    assert "1 pictures listed under more than one image id: a.png" in dataset.notes
    assert [len(image.objects) for image in dataset.images] == [1, 1]


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".png", "x/" * 3000, "a\0.png", "", "sub", "https://x.org/a.png"]
)
def test_names_of_no_file(write, name):
    with pytest.raises(InputError, match="1 of 2 pictures are not in "):
        read_coco(write(changed(lambda made: made["images"][0].update(file_name=name))))


def test_annotation_ids_that_repeat(write):
    dataset = read_coco(write(changed(lambda made: made["annotations"][1].update(id=1))))
    assert [[item.id for item in image.objects] for image in dataset.images] == [[1], [1]]
    assert dataset.notes == ("1 annotation ids given more than once, all annotations kept: 1",)


def test_annotations_of_images_that_are_not_listed(write):
    dataset = read_coco(write(changed(lambda made: made["images"].pop())))
    assert [len(image.objects) for image in dataset.images] == [1]
    assert dataset.notes == (
        "1 annotations of images that are not listed were left out: annotation 2 names image 8",
    )


def test_a_folder_and_a_picture_are_no_annotations(write, tmp_path):
    path = write(document())
    with pytest.raises(InputError, match="cannot be read: a folder; name the file of annotations"):
        read_coco(tmp_path)
    with pytest.raises(InputError, match=r"a\.png: not a JSON file: a PNG; annotations .* are wanted here"):
        read_coco(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: is a file; expected the folder with the pictures of"):
        read_coco(path, tmp_path / "a.png")


# Where frames alone are wanted


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.pop("annotations"),
        lambda made: made.pop("categories"),
        lambda made: [item.pop("segmentation") for item in made["annotations"]],
        lambda made: made.update(annotations="?", categories=[{"id": 5, "name": "x"}] * 2),
        lambda made: [image.pop(key) for image in made["images"] for key in ("id", "width", "height")],
        lambda made: made["images"][1].update(width=800),
    ],
    ids=["no annotations", "no categories", "boxes alone", "nonsense", "no sizes", "a wrong size"],
)
def test_frames_need_no_annotations(write, change):
    source = open_frames(write(changed(change)))
    assert [frame.name for frame in source.read()] == ["a.png", "b.png"]
    assert source.remarks == ()


def test_frames_of_a_file_as_tools_write_it(write):
    content = changed(lambda made: made["images"][0].update(file_name="sub\\c.png"))
    source = open_frames(write(json.dumps(content).encode("utf-8-sig").replace(b"12", b"NaN", 1)))
    assert [frame.name for frame in source.read()] == ["c.png", "b.png"]
    assert source.remarks == (NOT_FINITE, "1 file names with backslashes were read with slashes")


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"images": []}', b'{"images": [{"id": 1}]}'])
def test_frames_need_images(write, content):
    with pytest.raises(InputError, match="train.json: "):
        open_frames(write(content))
