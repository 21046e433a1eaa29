import cv2
import msgspec
import numpy as np
import pytest

from edgeblend.calibration.data.coco import read_coco
from edgeblend.demo.candidates import Candidate
from edgeblend.demo.comparison import compare
from edgeblend.errors import EngineError
from edgeblend.results import Instances

SQUARE = (8, 8, 40, 40)


@pytest.fixture
def dataset(tmp_path):
    """One picture with one square."""
    x0, y0, x1, y1 = SQUARE
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((64, 64, 3), np.uint8))
    square = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
    }
    document = {
        "images": [{"id": 1, "file_name": "1.png", "width": 64, "height": 64}],
        "annotations": [square],
        "categories": [{"id": 1, "name": "square"}],
    }
    (tmp_path / "squares.json").write_bytes(msgspec.json.encode(document))
    return read_coco(tmp_path / "squares.json")


def candidate(name, box, precision="float32"):
    """One that answers the same to every picture."""

    def segment(picture):
        if box is None:
            raise ValueError("no memory")
        return Instances(
            boxes=np.array([box], np.float32),
            scores=np.array([0.9], np.float32),
            classes=np.zeros(1, np.int64),
            class_names=("square",),
            mask_probs=np.ones((1, 32, 32), np.float32),
            mask_boxes=np.array([box], np.float32),
            frame_size=(64, 64),
            timings_ms={"detector": 1.0},
        )

    return Candidate(name, precision, segment, 1000)


def test_each_candidate_gets_its_own_figures(dataset):
    bad, good = compare([candidate("bad", (50, 50, 60, 60)), candidate("good", SQUARE)], dataset)
    assert (bad.candidate.name, good.candidate.name) == ("bad", "good")
    assert (bad.accuracy.box.ap, bad.accuracy.mask.ap) == (0, 0)
    assert (good.accuracy.box.ap, good.accuracy.mask.ap) == pytest.approx((100, 100))
    assert good.speed.graphs_ms == 1.0


def test_one_engine_in_two_precisions_is_two_candidates(dataset):
    good, bad = compare([candidate("a", SQUARE), candidate("a", (50, 50, 60, 60), "int8")], dataset)
    assert good.accuracy.box.ap == pytest.approx(100)
    assert bad.accuracy.box.ap == 0


def test_one_that_cannot_be_run_is_an_error(dataset):
    with pytest.raises(EngineError, match="broken float32 cannot be run: ValueError: no memory"):
        compare([candidate("good", SQUARE), candidate("broken", None)], dataset)
