import numpy as np
import pytest

from edgeblend.runtime.nms import class_wise_nms


def literal_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def literal_nms(boxes, scores, classes, iou_threshold, max_kept):
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(classes[i] != classes[j] or literal_iou(boxes[i], boxes[j]) <= iou_threshold for j in kept):
            kept.append(i)
    if len(kept) > max_kept:
        last = scores[kept[max_kept - 1]]
        kept = [i for i in kept if scores[i] >= last]
    return kept


def random_boxes(rng, count):
    corner = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0, 40, (count, 2))], axis=1).astype(np.float32)


def nms(boxes, scores, classes=None, iou_threshold=0.5, max_kept=100):
    boxes = np.array(boxes, np.float32)
    scores = np.array(scores, np.float32)
    classes = np.zeros(len(scores), np.int64) if classes is None else np.array(classes)
    return class_wise_nms(boxes, scores, classes, iou_threshold=iou_threshold, max_kept=max_kept).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_equals_a_literal_loop(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 200))
    boxes = random_boxes(rng, count)
    boxes[rng.integers(0, count, count // 3)] = boxes[rng.integers(0, count, count // 3)]  # equal boxes
    scores = (rng.integers(1, 40, count) / 40).astype(np.float32)  # many equal scores
    classes = rng.integers(0, 4, count)
    threshold, limit = float(rng.uniform(0.1, 0.9)), int(rng.integers(1, 60))
    expected = literal_nms(boxes.astype(float), scores, classes, threshold, limit)
    assert nms(boxes, scores, classes, threshold, limit) == expected


@pytest.mark.parametrize("num_classes", [1, 5])
@pytest.mark.parametrize("limit", [3, 70, 1000])
def test_equals_a_literal_loop_beyond_one_block(num_classes, limit):
    rng = np.random.default_rng(limit)
    boxes = random_boxes(rng, 700) * 4  # wide apart: many stand
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(10, 60, (700, 2)).astype(np.float32)
    scores = (rng.integers(1, 90, 700) / 90).astype(np.float32)  # equal ones on both sides of a block's end
    classes = rng.integers(0, num_classes, 700)
    expected = literal_nms(boxes.astype(float), scores, classes, 0.3, limit)
    assert len(expected) >= min(limit, 90)
    assert nms(boxes, scores, classes, 0.3, limit) == expected


def test_a_long_chain_of_suppressions():
    # Each overlaps the next one alone: every second one stands.
    boxes = [[3 * i, 0, 3 * i + 10, 10] for i in range(600)]
    scores = np.linspace(0.9, 0.1, 600)
    assert nms(boxes, scores, max_kept=1000) == list(range(0, 600, 2))


def test_best_of_two_overlapping_boxes_stays():
    assert nms([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]], [0.5, 0.9, 0.3]) == [1, 2]


def test_other_classes_do_not_suppress():
    assert nms([[0, 0, 10, 10], [0, 0, 10, 10]], [0.5, 0.9], classes=[3, 4]) == [1, 0]


def test_an_iou_of_exactly_the_threshold_stays():
    # 10x10 and its left half: IoU 50 / 100.
    boxes = [[0, 0, 10, 10], [0, 0, 5, 10]]
    assert nms(boxes, [0.9, 0.8], iou_threshold=0.5) == [0, 1]
    assert nms(boxes, [0.9, 0.8], iou_threshold=0.49) == [0]


def test_a_suppressed_box_suppresses_nothing():
    # Neighbours overlap by 7 / 13 > 0.5, the outer two by 4 / 16.
    boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]]
    assert nms(boxes, [0.9, 0.8, 0.7]) == [0, 2]


def test_ties_with_the_last_place_are_kept():
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(5)]
    assert nms(boxes, [0.9, 0.8, 0.8, 0.8, 0.7], max_kept=2) == [0, 1, 2, 3]
    assert nms(boxes, [0.9, 0.8, 0.7, 0.7, 0.6], max_kept=2) == [0, 1]


def test_boxes_without_area_are_kept():
    assert nms([[5, 5, 5, 5], [5, 5, 5, 5]], [0.9, 0.8]) == [0, 1]


def test_far_away_boxes_of_a_high_class_keep_their_precision():
    # Shifting class 79 by the largest coordinate would round these to the same box.
    boxes = [[100000, 0, 100000.5, 1], [100000.5, 0, 100001, 1]]
    assert nms(boxes, [0.9, 0.8], classes=[79, 79]) == [0, 1]


def test_nothing():
    assert nms(np.zeros((0, 4)), []) == []
