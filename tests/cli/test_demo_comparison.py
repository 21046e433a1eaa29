import cv2
import numpy as np
import pytest

from edgeblend.calibration.coco import read_coco
from edgeblend.cli.demo_candidates import Candidate
from edgeblend.cli.demo_comparison import Speed, compare
from edgeblend.results import Instances

SQUARE = (8, 8, 40, 40)


@pytest.fixture
def dataset(tmp_path):
    """Twenty pictures with one square each."""
    import msgspec

    x0, y0, x1, y1 = SQUARE
    document = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "square"}]}
    for number in range(1, 21):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((64, 64, 3), number, np.uint8))
        document["images"].append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 64})
        document["annotations"].append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
            }
        )
    (tmp_path / "squares.json").write_bytes(msgspec.json.encode(document))
    return read_coco(tmp_path / "squares.json")


def one_square(box, timings_ms):
    return Instances(
        boxes=np.array([box], np.float32),
        scores=np.array([0.9], np.float32),
        classes=np.zeros(1, np.int64),
        class_names=("square",),
        mask_probs=np.ones((1, 8, 8), np.float32),
        mask_boxes=np.array([box], np.float32),
        frame_size=(64, 64),
        timings_ms=timings_ms,
    )


def candidate(name, log, box=SQUARE, timings_ms=None):
    """One that answers the same to every picture, and logs which it saw."""

    def segment(picture):
        log.append((name, int(picture[0, 0, 0])))
        return one_square(box, timings_ms or {"detector": 1.0})

    return Candidate(name, "float32", segment, 1000)


def test_one_that_finds_and_one_that_misses(dataset):
    good, bad = compare([candidate("good", []), candidate("bad", [], box=(50, 50, 60, 60))], dataset)
    assert (good.candidate.name, bad.candidate.name) == ("good", "bad")
    assert (good.accuracy.box.ap, good.accuracy.mask.ap) == pytest.approx((100, 100))
    assert (bad.accuracy.box.ap, bad.accuracy.mask.ap) == (0, 0)
    assert good.accuracy.num_images == good.accuracy.num_objects == 20


def test_candidates_take_turns_and_begin_by_turns(dataset):
    log = []
    compare([candidate("a", log), candidate("b", log)], dataset)
    first, second, third = range(1, 9), range(9, 17), range(17, 21)
    turns = [("a", first), ("b", first), ("b", second), ("a", second), ("a", third), ("b", third)]
    assert log == [(name, number) for name, numbers in turns for number in numbers]


def test_engine_stages_make_the_graphs_time(dataset):
    stages = {"preprocess": 100.0, "detector": 3.0, "decode": 100.0, "basis": 2.0, "blend": 100.0}
    (measured,) = compare([candidate("a", [], timings_ms=stages)], dataset)
    assert measured.speed.graphs_ms == 5.0
    assert measured.speed.graphs_per_second == 200.0
    assert 0 < measured.speed.frame_ms < 100  # by the clock, not what the stages say


def test_the_first_of_a_turn_is_not_timed(dataset):
    (measured,) = compare([candidate("a", [])], dataset)
    assert measured.speed.frames == 20 - 3


def test_rates():
    speed = Speed(frame_ms=20.0, graphs_ms=10.0, frames=3)
    assert (speed.frames_per_second, speed.graphs_per_second) == (50.0, 100.0)
