import numpy as np
import pytest
from mask_samples import blobs
from pycocotools import mask as coco

from edgeblend.masks.polygons import Polygon, mask_to_polygons


def fill(polygons, shape):
    """Even-odd filling at pixel centres: each upright edge flips all pixels to its right."""
    flips = np.zeros((shape[0], shape[1] + 1), int)
    for polygon in polygons:
        for ring in (polygon.exterior, *polygon.holes):
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                assert x0 == x1 or y0 == y1
                flips[int(min(y0, y1)) : int(max(y0, y1)), int(x0)] += 1
    return flips.cumsum(axis=1)[:, :-1] % 2 == 1


def as_cycle(ring):
    """A ring from its smallest vertex, in the direction of its smaller neighbour."""
    points = [tuple(point) for point in ring]
    start = points.index(min(points))
    forward = points[start:] + points[:start]
    backward = [forward[0], *forward[:0:-1]]
    return min(forward, backward)


def test_one_pixel():
    (polygon,) = mask_to_polygons(np.ones((1, 1), bool))
    assert as_cycle(polygon.exterior) == [(0, 0), (0, 1), (1, 1), (1, 0)]
    assert polygon.exterior.dtype == np.float32
    assert polygon.holes == ()
    assert polygon.area == 1


def test_a_corner_by_hand():
    (polygon,) = mask_to_polygons(np.array([[1, 0], [1, 1]], bool), top=10, left=20)
    assert as_cycle(polygon.exterior) == [(20, 10), (20, 12), (22, 12), (22, 11), (21, 11), (21, 10)]


def test_a_hole_by_hand():
    mask = np.ones((4, 5), bool)
    mask[1:3, 1:4] = False
    mask[1, 3] = True
    (polygon,) = mask_to_polygons(mask)
    assert as_cycle(polygon.exterior) == [(0, 0), (0, 4), (5, 4), (5, 0)]
    (hole,) = polygon.holes
    assert as_cycle(hole) == [(1, 1), (1, 3), (4, 3), (4, 2), (3, 2), (3, 1)]
    assert polygon.area == mask.sum() == 15


def test_an_island_in_a_hole_is_a_polygon_of_its_own():
    mask = np.ones((7, 7), bool)
    mask[1:6, 1:6] = False
    mask[3, 3] = True
    areas = sorted(polygon.area for polygon in mask_to_polygons(mask))
    assert areas == [1, 24]


def test_pixels_that_touch_at_a_corner_are_one_polygon():
    (polygon,) = mask_to_polygons(np.eye(3, dtype=bool))
    assert polygon.area == 3
    np.testing.assert_array_equal(fill([polygon], (3, 3)), np.eye(3, dtype=bool))


def test_an_empty_mask():
    assert mask_to_polygons(np.zeros((3, 4), bool)) == []
    assert mask_to_polygons(np.zeros((0, 4), bool)) == []


@pytest.mark.parametrize("seed", range(30))
def test_filling_gives_the_mask_back(seed):
    rng = np.random.default_rng(seed)
    mask = blobs(rng, (50, 70)) if seed % 2 else rng.random((20, 25)) < rng.uniform(0.1, 0.9)
    polygons = mask_to_polygons(mask)
    np.testing.assert_array_equal(fill(polygons, mask.shape), mask)
    assert sum(polygon.area for polygon in polygons) == mask.sum()
    for polygon in polygons:
        for ring in (polygon.exterior, *polygon.holes):
            steps = np.sign(np.roll(ring, -1, axis=0) - ring)
            assert (np.abs(steps).sum(axis=1) == 1).all()  # no repeated vertex, every step along one axis
            assert (steps != np.roll(steps, 1, axis=0)).any(axis=1).all()  # and every vertex a corner


@pytest.mark.parametrize("seed", range(5))
def test_pycocotools_fills_the_same_pixels(seed):
    mask = blobs(np.random.default_rng(seed), (60, 80))
    whole = [p for p in mask_to_polygons(mask) if not p.holes]
    assert whole
    for polygon in whole:
        encoded = coco.frPyObjects([polygon.exterior.ravel().tolist()], *mask.shape)
        np.testing.assert_array_equal(coco.decode(encoded)[:, :, 0], fill([polygon], mask.shape))


def test_simplifying():
    rows, columns = np.indices((60, 60)) - 30
    mask = rows**2 + columns**2 < 625
    (exact,) = mask_to_polygons(mask)
    (simple,) = mask_to_polygons(mask, tolerance=1.5)
    assert len(simple.exterior) < len(exact.exterior) / 4
    assert abs(simple.area - exact.area) < 0.05 * exact.area
    assert np.abs(np.hypot(*(simple.exterior - 30).T) - 25).max() < 2


def test_a_tiny_piece_survives_simplifying():
    (polygon,) = mask_to_polygons(np.ones((1, 1), bool), tolerance=5)
    assert polygon.area == 1


def test_area_takes_holes_off():
    square = np.array([[0, 0], [0, 4], [4, 4], [4, 0]], np.float32)
    assert Polygon(square, (square[::-1] / 2,)).area == 12
