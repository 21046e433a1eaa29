"""Masks at frame size cost memory only where they are asked for."""

import tracemalloc

import numpy as np
import pytest

from edgeblend.results import Instances

HEIGHT, WIDTH = 2400, 3200
COUNT = 20
FRAME = HEIGHT * WIDTH
SIDE = 200
REGION = (SIDE + 10) ** 2


def instances(side=SIDE):
    """Discs of a diameter a little below ``side`` pixels, all over a frame of 8 megapixels."""
    y, x = np.indices((56, 56)) - 27.5
    disc = (x**2 + y**2 < 27**2).astype(np.float32)
    corner = np.random.default_rng(0).uniform([0, 0], [WIDTH - side, HEIGHT - side], (COUNT, 2))
    boxes = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
    return Instances(
        boxes=boxes,
        scores=np.full(COUNT, 0.5, np.float32),
        classes=np.zeros(COUNT, np.int64),
        class_names=("disc",),
        mask_probs=np.tile(disc, (COUNT, 1, 1)),
        mask_boxes=boxes,
        frame_size=(HEIGHT, WIDTH),
    )


def peak_bytes(work):
    work()  # what is imported and cached by the first call is not counted
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("rle", Instances.rle),
        ("polygons", Instances.polygons),
        ("simplified polygons", lambda found: found.polygons(tolerance=2.0)),
        ("areas", Instances.areas),
        ("COCO records", lambda found: found.to_coco(1)),
    ],
)
def test_one_region_at_a_time(name, work):
    found = instances()
    # Outlines look at a mask that is doubled on both axes: four bytes a pixel, and four while it is made.
    assert peak_bytes(lambda: work(found)) < 12 * REGION + 10_000 * COUNT < FRAME / 6


def test_masks_take_a_byte_a_pixel_of_all_frames():
    found = instances()
    assert COUNT * FRAME <= peak_bytes(found.masks) < COUNT * FRAME + 12 * REGION


def test_the_measure_sees_a_frame():
    assert peak_bytes(lambda: np.zeros(FRAME, bool)) >= FRAME


def test_handing_instances_out_copies_no_mask():
    found = instances()
    assert peak_bytes(lambda: found[:]) < found.mask_probs.nbytes / 10
