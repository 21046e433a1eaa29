import json

import numpy as np
import pytest

from edgeblend.calibration.coco import read_coco, read_picture
from edgeblend.errors import InputError

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
        path.write_text(content if isinstance(content, str) else json.dumps(content))
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
