import contextlib
import io
import math
import sys

import cv2
import numpy as np
import pytest

from edgeblend.calibration.accuracy import measure_accuracy, measure_segmenter, predict_dataset
from edgeblend.calibration.coco import CocoDataset, CocoImage, CocoObject
from edgeblend.errors import InputError
from edgeblend.results import Instances

SIZE = (120, 160)  # height, width
NAMES = ("cat", "dog")
A, B = (10, 10, 50, 50), (80, 20, 140, 100)  # 1600 and 4800 pixels: both medium


def rectangle(x0, y0, x1, y1):
    return (np.array([x0, y0, x1, y0, x1, y1, x0, y1], np.float64),)


def thing(number, box, label=0, *, crowd=False, area=None):
    x0, y0, x1, y1 = box
    area = (x1 - x0) * (y1 - y0) if area is None else area
    return CocoObject(number, np.array(box, np.float32), label, crowd, area, rectangle(*box))


def dataset(tmp_path, *pictures, names=NAMES, ids=(3, 7)):
    """A data set with these objects in each picture; image ids begin at 5."""
    images = tuple(
        CocoImage(5 + i, tmp_path / f"{i}.png", SIZE[1], SIZE[0], tuple(objects))
        for i, objects in enumerate(pictures)
    )
    return CocoDataset(tmp_path / "val.json", names, ids, images, ())


def found(*boxes, labels=None, scores=None, mask_boxes=None, names=NAMES, size=SIZE):
    """Instances that fill their mask boxes, by default their boxes, with falling scores."""
    count = len(boxes)
    as_boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Instances(
        boxes=as_boxes,
        scores=np.array(scores or [0.9 - 0.1 * i for i in range(count)], np.float32),
        classes=np.array(labels or [0] * count, np.int64),
        class_names=names,
        mask_probs=np.ones((count, 4, 4), np.float32),
        mask_boxes=as_boxes if mask_boxes is None else np.array(mask_boxes, np.float32),
        frame_size=size,
    )


def test_perfect_predictions_have_full_precision(tmp_path):
    truth = dataset(tmp_path, [thing(1, A), thing(2, B, 1)], [])
    accuracy = measure_accuracy(truth, {5: found(A, B, labels=[0, 1]), 6: found()})
    for precision in (accuracy.box, accuracy.mask):
        assert [precision.ap, precision.ap50, precision.ap75] == pytest.approx([100, 100, 100])
        assert precision.ap_medium == pytest.approx(100)
        assert math.isnan(precision.ap_small) and math.isnan(precision.ap_large)
        assert precision.per_class == pytest.approx({"cat": 100, "dog": 100})
    assert (accuracy.num_images, accuracy.num_objects) == (2, 2)


def test_one_of_two_found(tmp_path):
    # Precision is 1 at the 51 of COCO's 101 recalls that are not above 0.5, and 0 beyond.
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A), thing(2, B)]), {5: found(A)})
    assert accuracy.box.ap == pytest.approx(100 * 51 / 101)
    assert accuracy.mask.ap == pytest.approx(100 * 51 / 101)


def test_a_false_one_first_halves_the_precision(tmp_path):
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found(B, A)})
    assert accuracy.box.ap == pytest.approx(50)


def test_an_iou_above_three_of_ten_thresholds(tmp_path):
    # 40 wide and shifted by 9.75: 30.25 / 49.75 = 0.608, above 0.50, 0.55 and 0.60.
    shifted = (19.75, 10, 59.75, 50)
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found(shifted, mask_boxes=[A])})
    assert accuracy.box.ap == pytest.approx(30)
    assert (accuracy.box.ap50, accuracy.box.ap75) == pytest.approx((100, 0))
    assert accuracy.mask.ap == pytest.approx(100)


def test_shifted_masks_cost_mask_precision_alone(tmp_path):
    shifted = (30, 10, 70, 50)  # 20 / 60
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found(A, mask_boxes=[shifted])})
    assert accuracy.box.ap == pytest.approx(100)
    assert accuracy.mask.ap == 0


def test_the_wrong_class_finds_nothing(tmp_path):
    accuracy = measure_accuracy(
        dataset(tmp_path, [thing(1, A), thing(2, B, 1)]), {5: found(A, B, labels=[1, 0])}
    )
    assert accuracy.box.ap == accuracy.mask.ap == 0


def test_silence(tmp_path, capsys):
    measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found(A)})
    assert capsys.readouterr() == ("", "")
