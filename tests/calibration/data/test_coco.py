import json
import math
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from edgeblend.calibration.data.coco import read_coco, read_picture
from edgeblend.errors import InputError, MissingPackageError

SQUARE = [1, 1, 5, 1, 5, 4, 1, 4]


def document(**changes):
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": 9, "height": 8}],
        "annotations": [annotation()],
        "categories": [{"id": 5, "name": "dog"}, {"id": 2, "name": "cat"}],
        **changes,
    }


def annotation(**changes):
    return {
        "id": 1,
        "image_id": 7,
        "category_id": 5,
        "bbox": [1, 1, 4, 3],
        "area": 12,
        "iscrowd": 0,
        "segmentation": [SQUARE],
        **changes,
    }


@pytest.fixture
def write(tmp_path):
    def write_document(content):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / "a.png").touch()
        path = tmp_path / "train.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write_document


def test_one_object(write):
    dataset = read_coco(write(document()))
    assert (dataset.class_names, dataset.category_ids) == (("cat", "dog"), (2, 5))
    (image,) = dataset.images
    assert (image.id, image.width, image.height, image.path.name) == (7, 9, 8, "a.png")
    (item,) = image.objects
    assert item.box.tolist() == [1, 1, 5, 4] and item.box.dtype == np.float32
    assert (item.id, item.class_index, item.crowd, item.area) == (1, 1, False, 12)
    expected = np.zeros((8, 9), bool)
    expected[1:4, 1:5] = True
    assert (item.mask(8, 9) == expected).all() and item.mask(8, 9).dtype == bool
    assert dataset.notes == ()


def test_masks_are_rasterised_as_cocos_own_tools_do(write):
    coco_mask = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(1)
    rings = [random.uniform(-3, 60, 2 * random.integers(3, 9)).round(2).tolist() for _ in range(40)]
    items = [
        annotation(id=i, bbox=[0, 0, 40, 50], segmentation=rings[i : i + 1 + i % 3]) for i in range(1, 37)
    ]
    images = [{"id": 7, "file_name": "a.png", "width": 40, "height": 50}]
    (image,) = read_coco(write(document(images=images, annotations=items))).images
    assert len(image.objects) == 36
    for item, given in zip(image.objects, items, strict=True):
        encoded = coco_mask.merge(coco_mask.frPyObjects(given["segmentation"], 50, 40))
        assert (item.mask(50, 40) == coco_mask.decode(encoded).astype(bool)).all()


@pytest.mark.parametrize("counts", [[9, 3, 5, 3, 52], "9350_1"])
def test_run_lengths(write, counts):
    # Columns of eight: column 1 from row 1 to 3, column 2 too.
    item = annotation(segmentation={"size": [8, 9], "counts": counts}, iscrowd=1)
    del item["area"]
    (image,) = read_coco(write(document(annotations=[item]))).images
    (item,) = image.objects
    expected = np.zeros((8, 9), bool)
    expected[1:4, 1:3] = True
    assert (item.mask(8, 9) == expected).all()
    assert (item.crowd, item.area) == (True, 6)
    with pytest.raises(InputError, match=r"expected a mask of \[8, 9\], got a frame of \[9, 8\]"):
        item.mask(9, 8)


def test_the_area_of_polygons_where_the_file_has_none(write):
    item = annotation(segmentation=[SQUARE, [0, 0, 2, 0, 0, 2]], area=None)
    (image,) = read_coco(write(document(annotations=[item]))).images
    assert image.objects[0].area == 12 + 2


def test_classes_by_the_names_of_a_model(write):
    dataset = read_coco(write(document()), class_names=("dog", "cow", "cat"))
    assert dataset.class_names == ("dog", "cow", "cat")
    assert dataset.category_ids == (5, 6, 2)
    assert dataset.images[0].objects[0].class_index == 0
    with pytest.raises(InputError, match="got also 'cat'; rename"):
        read_coco(write(document()), class_names=("dog", "cow"))
    with pytest.raises(InputError, match="class names given more than once: 'dog'"):
        read_coco(write(document()), class_names=("dog", "cat", "dog"))


def test_objects_stay_with_their_picture_in_the_order_of_the_file(write):
    images = [{"id": i, "file_name": "a.png", "width": 9, "height": 8} for i in (7, 3, 4)]
    items = [annotation(id=i, image_id=image) for i, image in ((9, 3), (2, 7), (4, 3))]
    dataset = read_coco(write(document(images=images, annotations=items)))
    assert [(image.id, [item.id for item in image.objects]) for image in dataset.images] == [
        (7, [2]),
        (3, [9, 4]),
        (4, []),
    ]
    assert dataset.notes == (
        "1 pictures listed under more than one image id: a.png",
        "1 of 3 pictures without objects",
    )


def test_no_objects_at_all(write):
    dataset = read_coco(write(document(annotations=[])))
    assert dataset.images[0].objects == ()
    assert dataset.notes == ("1 of 1 pictures without objects",)


def test_where_pictures_are_looked_for(write, tmp_path):
    path = write(document())
    assert read_coco(path).images[0].path == tmp_path / "train" / "a.png"
    (tmp_path / "train").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"1 of 1 pictures are not in .*: a\.png; name the folder"):
        read_coco(path)
    assert read_coco(str(path), tmp_path / "elsewhere").images[0].path == tmp_path / "elsewhere" / "a.png"
    (tmp_path / "a.png").touch()
    assert read_coco(path).images[0].path == tmp_path / "a.png"
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        read_coco(path, tmp_path / "nowhere")


def test_missing_pictures_are_counted(write):
    images = [{"id": i, "file_name": f"{i}.png", "width": 9, "height": 8} for i in range(7)]
    with pytest.raises(InputError, match=r"7 of 7 pictures .*: 0\.png, 1\.png, 2\.png and 4 more"):
        read_coco(write(document(images=images, annotations=[])))


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"segmentation": []}, "1 objects dropped: no segmentation"),
        ({"segmentation": None}, "1 objects dropped: no segmentation"),
        ({"segmentation": [[1, 1, 2, 2]]}, "1 objects dropped: polygons with fewer than 3 points"),
        (
            {"segmentation": [[1, 1, 5, 1, 5, 4, 1]]},
            "1 objects dropped: polygons with an odd number of coordinates",
        ),
        ({"segmentation": [[1, 1, 2, 2, 3, 3]]}, "1 objects dropped: polygons without an area"),
        ({"segmentation": [[1.1, 1.1, 1.3, 1.3, 1.2, 1.2]]}, "1 objects dropped: polygons without an area"),
        ({"segmentation": [[2, 2, 2, 2, 2, 2]]}, "1 objects dropped: polygons without an area"),
        ({"segmentation": [[]]}, "1 objects dropped: polygons with fewer than 3 points"),
        ({"segmentation": {"size": [8, 9], "counts": [72]}}, "1 objects dropped: an empty mask"),
        ({"segmentation": {"size": [8, 9], "counts": "X2"}}, "1 objects dropped: an empty mask"),
        ({"bbox": [9, 1, 4, 3]}, "1 objects dropped: outside the picture"),
        ({"bbox": [1, -5, 4, 5]}, "1 objects dropped: outside the picture"),
    ],
)
def test_what_cannot_be_learnt_from_is_dropped_and_noted(write, changes, note):
    dataset = read_coco(write(document(annotations=[annotation(), annotation(id=2, **changes)])))
    assert [item.id for item in dataset.images[0].objects] == [1]
    assert dataset.notes == (note,)


def test_a_flat_ring_beside_a_good_one_is_left_out(write):
    items = [annotation(segmentation=[[1, 1, 2, 2, 3, 3], SQUARE, [4, 4]])]
    dataset = read_coco(write(document(annotations=items)))
    (ring,) = dataset.images[0].objects[0].segmentation
    assert ring.tolist() == SQUARE
    assert dataset.notes == (
        "1 polygons without an area left out of masks",
        "1 polygons with fewer than 3 points left out of masks",
    )


def test_a_ring_that_crosses_itself_has_the_pixels_it_covers(write):
    coco_mask = pytest.importorskip("pycocotools.mask")
    bow_tie = [0, 0, 9, 8, 9, 0, 0, 8]
    item = annotation(segmentation=[bow_tie], area=None)
    (image,) = read_coco(write(document(annotations=[item]))).images
    (found,) = image.objects
    wanted = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([bow_tie], 8, 9))).astype(bool)
    assert wanted.sum() > 20
    assert (found.mask(8, 9) == wanted).all() and found.area == wanted.sum()


def test_boxes_are_clipped(write):
    items = [annotation(bbox=[-2, 1, 20, 3]), annotation(id=2, bbox=[-0.25, 1, 4, 3])]
    dataset = read_coco(write(document(annotations=items)))
    assert [item.box.tolist() for item in dataset.images[0].objects] == [[0, 1, 9, 4], [0, 1, 3.75, 4]]
    assert dataset.notes == ("1 boxes clipped to their picture",)


def test_boxes_alone_are_refused(write):
    items = [annotation(id=i, segmentation=[]) for i in range(4)]
    with pytest.raises(InputError, match="expected instance masks, got boxes alone"):
        read_coco(write(document(annotations=items)))


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


IMAGE = document()["images"][0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a JSON file"),
        (b"{", "not a JSON file"),
        (b'{"images": "\xff"}', "not "),
        (json.dumps(document()).encode("utf-16")[:-1], "not a JSON file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "not a JSON file: a PNG; annotations in COCO's JSON format"),
        (
            json.dumps(document(annotations=[annotation(segmentation={"size": [8, 9], "counts": "a~"})]))
            .encode()
            .replace(b"~", b"\xff"),
            "annotation 1: segmentation: Invalid UTF-8",
        ),
        (b"[]", "not COCO's format for instances: Expected `object`, got `array`"),
        (without(document(), "annotations"), "missing required field `annotations`"),
        (document(images=[], annotations=[]), "expected at least one picture"),
        (document(categories=[], annotations=[]), "expected at least one category"),
        (document(images=[without(IMAGE, "id")]), r"missing required field `id` - at `\$.images\[0\]`"),
        (document(images=[{**IMAGE, "width": 1 << 21}]), r"Expected `int` <= 1048576 - at `\$.images\[0\].w"),
        (
            document(images=[{**IMAGE, "width": 1 << 20, "height": 1 << 20}]),
            "larger than any that can be read: image 7 of 1048576x1048576",
        ),
        (
            document(images=[{**IMAGE, "width": math.nan}, {**IMAGE, "id": "x"}]),
            "NaN and Infinity count as null",
        ),
        (document(images=[{**IMAGE, "height": 0}]), r"Expected `int` >= 1 - at `\$.images\[0\].height`"),
        (document(images=[{**IMAGE, "id": "a7"}]), r"Expected `int`, got `str` - at `\$.images\[0\].id"),
        (document(images=[{**IMAGE, "id": 7.5}]), r"Expected `int`, got `float` - at `\$.images\[0\].id"),
        (json.dumps(document()).encode().replace(b"7", b"7" * 5000, 1), "out of range"),
        (document(images=[IMAGE, IMAGE]), "image ids given more than once: 7"),
        (document(categories=[{"id": 5, "name": c} for c in "ab"]), "category ids given more than once: 5"),
        (
            document(annotations=[annotation(image_id=8)]),
            "no annotation is of an image that the file lists: annotation 1 names image 8",
        ),
        (document(annotations=[annotation(category_id=8)]), "annotation 1 names category 8"),
        (document(annotations=[annotation(bbox=[1, 2, 3])]), r"of length 4 - at .*bbox"),
        (json.dumps(document()).encode().replace(b"12", b"nan", 1), "not a JSON file: JSON is malformed"),
        (document(annotations=[annotation(iscrowd=2)]), "expected iscrowd to be 0 or 1: annotation 1 has 2"),
        (
            json.dumps(document()).encode().replace(b"12", b"1e999", 1),
            r"out of range - at `\$.annotations\[0\].a",
        ),
        (document(annotations=[annotation(area=-1)]), "Expected `float` >= 0"),
        (
            document(annotations=[annotation(segmentation=SQUARE)]),
            "annotation 1: segmentation: Expected `arr",
        ),
        (document(annotations=[annotation(segmentation=[[1, 1, 1e9, 1, 5, 5]])]), "points beyond 100000"),
        (
            document(annotations=[annotation(segmentation={"size": [9, 8], "counts": [72]})]),
            r"annotation 1: run lengths of size \(9, 8\) in a picture of \(8, 9\)",
        ),
        (
            document(annotations=[annotation(segmentation={"size": [8, 9], "counts": [70]})]),
            "annotation 1: run lengths that add up to 70, not 72",
        ),
        (
            document(annotations=[annotation(segmentation={"size": [8, 9], "counts": [80, -8]})]),
            "annotation 1: run lengths that are below 0, such as -8",
        ),
        (
            document(annotations=[annotation(segmentation={"size": [8, 9], "counts": [10**30, 72]})]),
            "annotation 1: run lengths that add up",
        ),
        (
            document(annotations=[annotation(segmentation={"size": [8, 9], "counts": "9353"})]),
            "annotation 1: expected run lengths of 72 pixels",
        ),
        (
            document(annotations=[annotation(segmentation={"size": [8, 9], "counts": "é"})]),
            "annotation 1: .*ascii",
        ),
    ],
)
def test_what_is_not_cocos_format_is_refused(write, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_coco(write(content))
    assert "train.json" in str(caught.value)


def test_problems_are_listed_together(write):
    items = [annotation(id=i, segmentation={"size": [1, 1], "counts": [1]}) for i in range(1, 6)]
    with pytest.raises(InputError, match=r"annotation 1: .*, annotation 2: .*, annotation 3: .* and 2 more"):
        read_coco(write(document(annotations=items)))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_coco(tmp_path / "train.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_coco(tmp_path)


def test_more_annotations_than_are_read_at_a_time(write, monkeypatch):
    monkeypatch.setattr("edgeblend.calibration.data.coco._CHUNK", 2)
    items = [annotation(id=i, bbox=[i, 1, 2, 2], segmentation=[[i, 0, 9, 0, 9, 8]]) for i in range(1, 6)]
    (image,) = read_coco(write(document(annotations=items))).images
    assert [(item.id, item.box[0], item.segmentation[0][0]) for item in image.objects] == [
        (i, i, i) for i in range(1, 6)
    ]


def test_a_picture_is_as_large_as_annotated(write, tmp_path):
    path = write(document())
    picture = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
    cv2.imwrite(str(tmp_path / "train" / "a.png"), picture)
    (image,) = read_coco(path).images
    assert (read_picture(image) == picture).all()
    cv2.imwrite(str(tmp_path / "train" / "a.png"), picture[:7])
    with pytest.raises(InputError, match="expected 9x8 pixels as annotated, got 9x7; use the annotated file"):
        read_picture(image)
    cv2.imwrite(str(tmp_path / "train" / "a.png"), picture.transpose(1, 0, 2))
    with pytest.raises(InputError, match="got 8x9; width and height seem to be exchanged in the annotations"):
        read_picture(image)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "train" / "a.png", exif=turned)
    with pytest.raises(InputError, match="got 8x9; it seems to have been annotated before it was turned"):
        read_picture(image)


def test_without_the_extra_only_polygons_fail(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    counts = {"size": [8, 9], "counts": [9, 3, 60]}
    items = [annotation(), annotation(id=2, segmentation=counts)]
    (image,) = read_coco(write(document(annotations=items))).images
    assert image.objects[1].mask(8, 9).sum() == 3
    with pytest.raises(MissingPackageError, match=r'pip install "edgeblend\[accuracy\]"'):
        image.objects[0].mask(8, 9)
