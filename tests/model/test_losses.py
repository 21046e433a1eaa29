"""The losses by hand, their gradients by finite differences, and what they do at the ends of the range."""

from math import log

import numpy as np
import pytest
import torch

from edgeblend.model.losses.targets import BACKGROUND
from edgeblend.model.losses.terms import box_losses, focal_loss, mask_losses

KINDS = ("giou", "iou", "linear_iou")
LN3 = log(3.0)
"""The logit of 0.75."""


def focal(logit, *, positive):
    return focal_loss(torch.tensor([[logit]]), torch.tensor([0 if positive else BACKGROUND])).item()


@pytest.mark.parametrize(
    ("logit", "positive", "expected"),
    [
        # alpha (1 - p_t)^2 (-log p_t), alpha 0.25 for what is there and 0.75 for what is not.
        (0.0, True, 0.25 * 0.25 * log(2)),
        (0.0, False, 0.75 * 0.25 * log(2)),
        (LN3, True, 0.25 * 0.0625 * log(4 / 3)),
        (LN3, False, 0.75 * 0.5625 * log(4)),
        (-LN3, True, 0.25 * 0.5625 * log(4)),
        (-LN3, False, 0.75 * 0.0625 * log(4 / 3)),
    ],
)
def test_focal_loss_of_one_logit(logit, positive, expected):
    assert focal(logit, positive=positive) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_sums_over_locations_and_classes():
    logits = torch.tensor([[0.0, LN3], [-LN3, 0.0], [LN3, LN3]])
    found = focal_loss(logits, torch.tensor([1, BACKGROUND, 0])).item()
    expected = (
        focal(0.0, positive=False)
        + focal(LN3, positive=True)
        + focal(-LN3, positive=False)
        + focal(0.0, positive=False)
        + focal(LN3, positive=True)
        + focal(LN3, positive=False)
    )
    assert found == pytest.approx(expected, rel=1e-6)
    swapped = focal_loss(logits, torch.tensor([0, BACKGROUND, 0])).item()
    assert swapped != pytest.approx(expected, rel=1e-2)


def test_focal_loss_of_no_location_is_zero():
    logits = torch.zeros(0, 3, requires_grad=True)
    loss = focal_loss(logits, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0.0


def test_focal_loss_at_extreme_logits():
    logits = torch.tensor([[1e4], [-1e4], [1e4], [-1e4], [90.0], [-90.0]], requires_grad=True)
    positive, nothing = 0, BACKGROUND
    loss = focal_loss(logits, torch.tensor([positive, positive, nothing, nothing, nothing, positive]))
    # Right ones cost nothing; wrong ones alpha times the logit.
    assert loss.item() == pytest.approx(0.25 * 1e4 + 0.75 * 1e4 + 0.75 * 90 + 0.25 * 90)
    loss.backward()
    assert logits.grad.flatten().tolist() == pytest.approx([0, -0.25, 0.75, 0, 0.75, -0.25])


def one_box(predicted, target, kind):
    return box_losses(torch.tensor([predicted]), torch.tensor([target]), kind).item()


@pytest.mark.parametrize(
    ("predicted", "target", "iou", "giou"),
    [
        # Equal: both terms of the IoU have their 1 added.
        ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], 1.0, 1.0),
        # 2 x 2 within 4 x 4: (4 + 1) / (16 + 1), and nothing of the enclosing box is uncovered.
        ([1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], 5 / 17, 5 / 17),
        # 4 x 2 across 2 x 4: intersection 4, union 12, enclosing 16 of which 4 are uncovered.
        ([2.0, 1.0, 2.0, 1.0], [1.0, 2.0, 1.0, 2.0], 5 / 13, 5 / 13 - 4 / 16),
        # Two 2 x 2 that touch in a corner: intersection 0, union 8, enclosing 16.
        ([0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 0.0, 0.0], 1 / 9, 1 / 9 - 8 / 16),
        # Nothing predicted.
        ([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], 1 / 5, 1 / 5),
    ],
)
def test_box_losses_by_hand(predicted, target, iou, giou):
    for a, b in ((predicted, target), (target, predicted)):  # all three are symmetric
        assert one_box(a, b, "giou") == pytest.approx(1 - giou, abs=1e-6)
        assert one_box(a, b, "iou") == pytest.approx(-log(iou), abs=1e-6)
        assert one_box(a, b, "linear_iou") == pytest.approx(1 - iou, abs=1e-6)


def literal_giou_loss(a, b):
    """From corners, around a point at the origin."""
    left, top = np.maximum(-a[:2], -b[:2])
    right, bottom = np.minimum(a[2:], b[2:])
    intersection = max(right - left, 0) * max(bottom - top, 0)
    union = (a[0] + a[2]) * (a[1] + a[3]) + (b[0] + b[2]) * (b[1] + b[3]) - intersection
    width = max(a[2], b[2]) + max(a[0], b[0])
    height = max(a[3], b[3]) + max(a[1], b[1])
    return 1 - ((intersection + 1) / (union + 1) - (width * height - union) / (width * height))


def test_giou_equals_a_literal_loop():
    rng = np.random.default_rng(0)
    predicted, target = rng.uniform(0, 9, (2, 50, 4))
    found = box_losses(torch.from_numpy(predicted), torch.from_numpy(target))
    expected = [literal_giou_loss(a, b) for a, b in zip(predicted, target, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_box_losses_rise_with_the_distance(kind):
    target = torch.full((1, 4), 4.0)
    losses = [box_losses(target + shift, target, kind).item() for shift in (0.0, 0.5, 1.0, 4.0, 100.0)]
    assert losses[0] == 0.0
    assert losses == sorted(set(losses))


@pytest.mark.parametrize("kind", KINDS)
def test_box_losses_of_nothing_and_of_everything_are_finite(kind):
    predicted = torch.tensor([[0.0] * 4, [1e6] * 4, [0.0, 5.0, 0.0, 5.0], [0.0] * 4], requires_grad=True)
    target = torch.tensor([[1.0] * 4, [1.0] * 4, [1.0] * 4, [0.0] * 4])
    losses = box_losses(predicted, target, kind)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert predicted.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_boxes(kind):
    assert box_losses(torch.zeros(0, 4), torch.zeros(0, 4), kind).shape == (0,)


def test_mask_losses_are_a_mean_a_mask():
    logits = torch.tensor([[[0.0, LN3]], [[-LN3, -LN3]]])
    masks = torch.tensor([[[1, 0]], [[0, 1]]], dtype=torch.uint8)
    found = mask_losses(logits, masks).tolist()
    assert found == pytest.approx([(log(2) + log(4)) / 2, (log(4 / 3) + log(4)) / 2])
    assert mask_losses(torch.zeros(0, 2, 2), torch.zeros(0, 2, 2, dtype=torch.uint8)).shape == (0,)


def test_mask_losses_at_extreme_logits():
    logits = torch.tensor([[[1e4, -1e4]], [[1e4, -1e4]]], requires_grad=True)
    losses = mask_losses(logits, torch.tensor([[[1, 0]], [[0, 1]]], dtype=torch.uint8))
    assert losses.tolist() == [0.0, 1e4]
    losses.sum().backward()
    assert logits.grad.tolist() == [[[0.0, 0.0]], [[0.5, -0.5]]]


def random(*shape, low=-3.0, high=3.0):
    return torch.empty(*shape, dtype=torch.float64).uniform_(low, high).requires_grad_()


def test_gradients_are_right():
    torch.manual_seed(0)
    classes = torch.tensor([2, BACKGROUND, 0, 1, BACKGROUND])
    assert torch.autograd.gradcheck(lambda logits: focal_loss(logits, classes), (random(5, 3),))
    masks = torch.randint(0, 2, (3, 4, 4), dtype=torch.uint8)
    assert torch.autograd.gradcheck(lambda logits: mask_losses(logits, masks), (random(3, 4, 4),))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_box_losses_are_right(kind):
    torch.manual_seed(0)
    predicted, target = random(12, 4, low=0.1, high=5.0), random(12, 4, low=0.1, high=5.0).detach()
    assert torch.autograd.gradcheck(lambda boxes: box_losses(boxes, target, kind), (predicted,))
