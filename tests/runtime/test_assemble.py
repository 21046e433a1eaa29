import numpy as np
import pytest

from edgeblend.runtime.assemble import place
from edgeblend.runtime.decode import Detections

BOXES = np.array(
    [
        [-10, 10, 30, 50],  # over the left border
        [20, 20, 40, 40],
        [110, 0, 130, 20],  # outside
        [100, 10, 140, 30],  # begins where the frame ends
        [30, 30, 30, 40],  # no width
    ],
    np.float32,
)


def run(paste):
    count = len(BOXES)
    detections = Detections(
        boxes=BOXES,
        scores=np.linspace(0.9, 0.5, count, dtype=np.float32),
        classes=np.arange(count),
        levels=np.zeros(count, np.int64),
        cells=np.zeros((count, 2), np.int64),
    )
    probs = np.arange(count, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    placed = place(detections, probs, scale=(2.0, 0.5), frame_size=(24, 200), paste=paste)
    return placed.instances(class_names=tuple("abcde"), timings_ms={"decode": 1.0})


@pytest.mark.parametrize("paste", ["clipped", "unclipped"])
def test_boxes_are_scaled_and_clipped_and_empty_ones_dropped(paste):
    instances = run(paste)
    np.testing.assert_array_equal(instances.boxes, [[0, 5, 60, 24], [40, 10, 80, 20]])
    assert instances.names == ["a", "b"]
    np.testing.assert_allclose(instances.scores, [0.9, 0.8])
    np.testing.assert_array_equal(instances.mask_probs[:, 0, 0], [0, 1])
    assert instances.frame_size == (24, 200)
    assert instances.timings_ms == {"decode": 1.0}


def test_the_box_that_masks_are_pasted_into():
    np.testing.assert_array_equal(run("clipped").mask_boxes[0], [0, 5, 60, 24])
    np.testing.assert_array_equal(run("unclipped").mask_boxes[0], [-20, 5, 60, 25])
