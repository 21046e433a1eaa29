import numpy as np

from edgeblend.masks.boxes import box_iou_batch


def test_box_iou_by_hand() -> None:
    boxes = np.array([[0, 0, 2, 2], [0, 0, 0, 5]], np.float32)
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]], np.float32)
    np.testing.assert_allclose(box_iou_batch(boxes, others), [[1, 2 / 6, 0], [0, 0, 0]], rtol=1e-6)
