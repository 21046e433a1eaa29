import cv2
import numpy as np
import pytest

from edgeblend.calibration.data.coco import CocoImage
from edgeblend.calibration.evaluation.agreement_totals import compare_instances
from edgeblend.calibration.evaluation.comparison import Disagreement
from edgeblend.draw.overlay import instance_colour
from edgeblend.report.compare.pictures import DRAWN, draw_pair, list_differences
from edgeblend.results import Instances

NAMES = ("cat", "dog")


def found(*items, size=(100, 200)):
    """Instances from (x0, class, score, share of the mask): 40x40 boxes side by side, best first."""
    boxes = np.array([(x, 10, x + 40, 50) for x, *_ in items], np.float32).reshape(-1, 4)
    masks = np.zeros((len(items), 40, 40), np.float32)
    for mask, (_, _, _, share) in zip(masks, items, strict=True):
        mask[:, : round(40 * share)] = 1
    return Instances(
        boxes=boxes,
        scores=np.array([score for _, _, score, _ in items], np.float32),
        classes=np.array([label for _, label, _, _ in items], np.int64),
        class_names=NAMES,
        mask_probs=masks,
        mask_boxes=boxes,
        frame_size=size,
    )


def disagreement(path, reference, candidate):
    cv2.imwrite(str(path), np.zeros((*reference.frame_size, 3), np.uint8))
    image = CocoImage(1, path, reference.frame_size[1], reference.frame_size[0], ())
    return Disagreement(image, compare_instances(reference, candidate), reference, candidate)


@pytest.fixture
def item(tmp_path):
    """The first agrees, the second has half of its mask, the third changed its class, the fourth moved."""
    reference = found((0, 0, 0.9, 1), (50, 0, 0.8, 1), (100, 0, 0.7, 1), (160, 1, 0.6, 1))
    candidate = found((0, 0, 0.9, 1), (50, 0, 0.8, 0.5), (100, 1, 0.7, 1), (130, 1, 0.65, 1))
    return disagreement(tmp_path / "a.png", reference, candidate)


def test_what_differs_the_worst_first(item):
    listed = [(d.kind, d.text, d.reference, d.candidate) for d in list_differences(item)]
    assert listed == [
        ("class", "cat became dog", 2, 2),
        ("invented", "dog 0.65", None, 3),
        ("lost", "dog 0.60", 3, None),
        ("mask IoU", "cat 0.50", 1, 1),
    ]


def test_the_caption_says_all_of_it(item):
    assert draw_pair(item).caption == (
        "class: cat became dog; invented: dog 0.65; lost: dog 0.60; mask IoU: cat 0.50; "
        "1 other object with the same mask"
    )


def tint_at(jpeg, x):
    """The colour within a mask, at (x, 40) of the frame, in a picture drawn 3.2 times larger."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return picture[128, round(3.2 * x)] / 0.45  # how opaque masks are


def test_an_object_has_one_colour_on_both_sides(item):
    pair = draw_pair(item)
    assert pair.size == (640, 320)
    for x, colour in ((110, 0), (60, 3)):  # the flip, and the mask that lost a half
        for jpeg in (pair.reference, pair.candidate):
            np.testing.assert_allclose(tint_at(jpeg, x), instance_colour(colour), atol=30)
    np.testing.assert_allclose(tint_at(pair.candidate, 155), instance_colour(1), atol=30)
    np.testing.assert_allclose(tint_at(pair.reference, 180), instance_colour(2), atol=30)
    for jpeg in (pair.reference, pair.candidate):  # what agrees is not drawn
        assert tint_at(jpeg, 20).max() < 30


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((100, 200), (640, 320)), ((1000, 3000), (640, 213)), ((3000, 1000), (187, 560)), ((20, 50), (200, 80))],
)
def test_pictures_are_scaled_to_be_looked_at(size, drawn, tmp_path):
    lost = disagreement(tmp_path / "a.png", found((0, 0, 0.9, 1), size=size), found(size=size))
    pair = draw_pair(lost)
    assert pair.size == drawn
    for jpeg in (pair.reference, pair.candidate):
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[1::-1] == drawn


def test_no_more_are_drawn_than_can_be_seen(tmp_path):
    many = found(*((2 * i, i % 2, 0.9 - 0.01 * i, 1) for i in range(DRAWN + 5)))
    pair = draw_pair(disagreement(tmp_path / "a.png", many, found()))
    assert f"of these {DRAWN} are drawn" in pair.caption
    assert "and 12 more" in pair.caption
