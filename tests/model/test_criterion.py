"""From outputs and objects to the losses: with outputs made by hand, then on a small network."""

import dataclasses
from math import log

import pytest
import torch
from made_outputs import MadeOutputs
from tiny_training import CLASSES, tiny_config, tiny_training, truth

from edgeblend.model.blend import blend, roi_align
from edgeblend.model.losses.targets import BACKGROUND
from edgeblend.model.losses.terms import box_losses, focal_loss, mask_losses

NAMES = ["cls", "box", "centerness", "mask", "semantic"]
LEFT, TOP = torch.zeros(2, 8, 8, dtype=torch.uint8)
LEFT[:, :4], TOP[:4] = 1, 1
"""Masks of the left and of the upper half of a box."""


def two_pictures():
    """Two objects that do not touch, and one: the second picture's only object is the batch's third."""
    first = truth([[0, 0, 32, 32], [32, 32, 64, 64]], [0, 2], masks=torch.stack([LEFT, TOP]))
    return [first, truth([[16, 0, 48, 32]], [1], masks=TOP[None])]


def values(losses):
    return {name: loss.item() for name, loss in losses.items()}


def entropy(p):
    return -(p * torch.log(p) + (1 - p) * torch.log(1 - p)).nan_to_num(0.0)


def centerness_targets(made):
    return torch.cat([t.centerness[t.objects != BACKGROUND] for t in made.targets])


def test_losses_of_all_zero_outputs_by_hand():
    made = MadeOutputs(two_pictures())
    positives = len(made.positives())
    assert positives == 12  # 2 x 2 of the finest level around each centre
    found = values(made.losses())
    assert list(found) == NAMES
    negatives = 2 * (64 + 16 + 4) * CLASSES - positives
    expected = (0.25 * positives + 0.75 * negatives) * 0.25 * log(2) / positives
    assert found["cls"] == pytest.approx(expected, rel=1e-5)
    # No box: of 16 square strides nothing is covered, and nothing else is enclosed.
    assert found["box"] == pytest.approx(1 - 1 / 17, rel=1e-5)
    assert found["centerness"] == pytest.approx(log(2), rel=1e-5)
    assert found["mask"] == pytest.approx(log(2), rel=1e-5)
    assert found["semantic"] == pytest.approx(0.3 * log(CLASSES + 1), rel=1e-5)


def test_a_perfect_prediction_costs_nothing():
    made = MadeOutputs(two_pictures()).perfect()
    found = values(made.losses())
    # Of a centerness between 0 and 1 the cross-entropy with itself stays.
    left = entropy(centerness_targets(made)).mean().item()
    assert found["centerness"] == pytest.approx(left, rel=1e-4)
    for name in ("cls", "box", "mask", "semantic"):
        assert found[name] < 1e-5, name


def wrong_class(made):
    for level in made.cls:
        level.copy_(level.roll(1, dims=1))


def false_positive(made):
    made.cls[2][1, 0, 1, 1] = 20  # where nothing is


def shifted_box(made):
    made.reg[0] += 0.25


def other_centerness(made):
    made.ctr[0] += 1.0


def other_attention(made):
    made.training.network.top_layer.bias.copy_(torch.tensor([0.0, 40.0, 0.0, 0.0]).repeat_interleave(16))


def moved_bases(made):
    made.bases.copy_(made.bases.roll(4, dims=3))


def other_picture(made):
    made.bases.copy_(made.bases.flip(0))


def exchanged_masks(made):
    first = made.truths[0]
    made.truths[0] = dataclasses.replace(first, masks=first.masks.flip(0))


def exchanged_last_mask(made):
    made.truths[1] = dataclasses.replace(made.truths[1], masks=LEFT[None])


def moved_semantic_map(made):
    made.semantic.copy_(made.semantic.roll(1, dims=2))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (wrong_class, "cls"),
        (false_positive, "cls"),
        (shifted_box, "box"),
        (other_centerness, "centerness"),
        (other_attention, "mask"),
        (moved_bases, "mask"),
        (other_picture, "mask"),
        (exchanged_masks, "mask"),
        (exchanged_last_mask, "mask"),
        (moved_semantic_map, "semantic"),
    ],
)
def test_each_mistake_costs_its_own_loss(change, name):
    before = values(MadeOutputs(two_pictures()).perfect().losses())
    made = MadeOutputs(two_pictures()).perfect()
    with torch.no_grad():
        change(made)
    after = values(made.losses())
    assert {other for other in NAMES if after[other] > before[other] + 1e-3} == {name}


def test_a_positive_location_is_where_the_gradient_is():
    """One object at row 1 and 2, column 5 and 6 of the finest level of the second picture, and no other."""
    made = MadeOutputs([truth(), truth([[40, 0, 64, 32]], [2])])
    expected = [(1, 0, row, column) for row in (1, 2) for column in (5, 6, 7)]
    assert [item[:4] for item in made.positives()] == expected
    total = sum(made.losses().values())
    total.backward()
    for level in range(3):
        pulled_up = (made.cls[level].grad < 0).nonzero().tolist()
        assert pulled_up == [[1, 2, row, column] for _, lv, row, column in expected if lv == level]
        assert (made.cls[level].grad != 0).all()  # the others are pushed down
        centerness = made.ctr[level].grad[:, 0].nonzero().tolist()
        places = [[1, row, column] for _, lv, row, column in expected if lv == level]
        # A target of exactly a half leaves a logit of 0 where it is.
        assert all(place in places for place in centerness)
        assert len(centerness) == len(places)
    assert made.bases.grad[0].count_nonzero() == 0
    assert made.bases.grad[1].any()


def test_the_gradient_of_boxes_and_attention_is_at_positive_locations():
    made = MadeOutputs([truth(), truth([[40, 0, 64, 32]], [2])])
    with torch.no_grad():
        for level in made.reg:
            level.fill_(1.0)
        torch.manual_seed(0)
        made.bases.normal_()
    sum(made.losses().values()).backward()
    moved = made.reg[0].grad.abs().sum(dim=1).nonzero().tolist()
    assert moved == [[1, row, column] for row in (1, 2) for column in (5, 6, 7)]
    # The layer reads 3 x 3: one row and one column more on each side.
    read = made.features[0].grad.abs().sum(dim=1).nonzero().tolist()
    assert read == [[1, row, column] for row in (0, 1, 2, 3) for column in (4, 5, 6, 7)]
    for level in (1, 2):
        assert not made.reg[level].grad.any()
        assert not made.features[level].grad.any()
    assert made.training.network.top_layer.weight.grad is not None


def test_large_objects_are_learnt_on_coarse_levels():
    made = MadeOutputs([truth([[0, 0, 64, 64]], [1])], sizes_of_interest=(16, 24))
    sum(made.losses().values()).backward()
    pulled_up = [(level.grad < 0).nonzero().tolist() for level in made.cls]
    # The finest level wants at most 16 and the next at most 24 pixels; here it is 48 from all four cells.
    assert pulled_up == [[], [], [[0, 1, row, column] for row in (0, 1) for column in (0, 1)]]


def test_boxes_and_masks_are_weighted_by_centerness():
    made = MadeOutputs(
        [truth([[4, 0, 40, 48]], [0], masks=TOP[None]), truth([[0, 0, 64, 30]], masks=LEFT[None])]
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in (*made.reg, *made.features, made.bases):
            tensor.uniform_(0, 4)
        made.bases.sub_(2.0).mul_(torch.tensor([1.0, 3.0, 5.0, 7.0]).view(4, 1, 1))
        made.training.network.top_layer.weight.normal_(std=0.3)
    weights, wanted, predicted, masks = [], [], [], []
    attention = [made.training.network.attention(level) for level in made.features]  # everywhere
    for picture, level, row, column, place in made.positives():
        objects, targets = made.truths[picture], made.targets[picture]
        weights.append(targets.centerness[place])
        wanted.append(targets.distances[place])
        predicted.append(made.reg[level][picture, :, row, column])
        crop = roi_align(made.bases[picture], objects.boxes, stride=4, size=8)
        logits = blend(crop, attention[level][picture, :, row, column][None], interpolation="bilinear")
        masks.append(mask_losses(logits, objects.masks)[0])
    weights, masks = torch.stack(weights), torch.stack(masks)
    boxes = box_losses(torch.stack(predicted), torch.stack(wanted))
    assert weights.max() > 2 * weights.min()
    found = made.losses()
    torch.testing.assert_close(found["box"], (boxes * weights).sum() / weights.sum())
    torch.testing.assert_close(found["mask"], (masks * weights).sum() / weights.sum())
    for name, losses in (("box", boxes), ("mask", masks)):  # all weighing the same is something else
        assert abs(found[name].item() / losses.mean().item() - 1) > 1e-3


def test_the_kind_of_box_loss_is_the_configs():
    found = {
        kind: values(MadeOutputs(two_pictures(), loc_loss_type=kind).losses())["box"]
        for kind in ("giou", "iou", "linear_iou")
    }
    assert found["iou"] == pytest.approx(log(17), rel=1e-5)
    assert found["linear_iou"] == pytest.approx(16 / 17, rel=1e-5)


def test_no_objects_at_all():
    made = MadeOutputs([truth(), truth()])
    losses = made.losses()
    sum(losses.values()).backward()
    found = values(losses)
    # Not divided by zero: as if there were one positive location.
    logits = torch.zeros(2 * 84, CLASSES)
    everything = focal_loss(logits, torch.full((2 * 84,), BACKGROUND)).item()
    assert found["cls"] == pytest.approx(everything, rel=1e-5)
    assert (found["box"], found["centerness"], found["mask"]) == (0.0, 0.0, 0.0)
    assert found["semantic"] == pytest.approx(0.3 * log(CLASSES + 1), rel=1e-5)
    for tensor in [*made.cls, made.semantic]:
        assert tensor.grad.isfinite().all()
        assert tensor.grad.any()


def test_an_object_that_no_location_learns():
    found = values(MadeOutputs([truth([[5, 5, 11, 11]], [0])]).losses())
    assert (found["box"], found["centerness"], found["mask"]) == (0.0, 0.0, 0.0)
    assert found["cls"] > 0


def test_the_semantic_loss_follows_the_config():
    config = tiny_config()
    off = dataclasses.replace(config, basis=dataclasses.replace(config.basis, loss_on=False))
    heavier = dataclasses.replace(config, basis=dataclasses.replace(config.basis, loss_weight=0.6))
    truths = [truth([[0, 0, 32, 32]])]
    images = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    silent = tiny_training(off)
    assert silent.seg_head is None
    assert list(silent(images, truths)) == NAMES[:-1]
    losses = [tiny_training(chosen)(images, truths)["semantic"].item() for chosen in (config, heavier)]
    assert losses[1] == pytest.approx(2 * losses[0], rel=1e-4)


def batch():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    return images, two_pictures()


def test_steps_along_the_gradient_lower_the_loss():
    training = tiny_training(tiny_config(freeze_at=0, norm="BN"))
    optimizer = torch.optim.SGD([p for p in training.parameters() if p.requires_grad], lr=0.02)
    history = []
    for _ in range(8):
        losses = training(*batch())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append(values(losses))
    totals = [sum(losses.values()) for losses in history]
    assert totals[1] < totals[0]
    assert totals[-1] < 0.9 * totals[0]


def test_every_part_learns():
    training = tiny_training(tiny_config(freeze_at=0, norm="BN"))
    sum(training(*batch()).values()).backward()
    without = [name for name, p in training.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_frozen_parts_do_not_learn_and_keep_their_statistics():
    training = tiny_training()
    frozen = {name for name, p in training.named_parameters() if not p.requires_grad}
    assert any(name.startswith("network.backbone.bottom_up.stem.") for name in frozen)
    assert not any(name.startswith("network.proposal_generator") for name in frozen)
    before = {name: tensor.clone() for name, tensor in training.state_dict().items()}
    training.eval()
    training.train()
    sum(training(*batch()).values()).backward()
    assert {name for name, p in training.named_parameters() if p.grad is None} == frozen
    after = training.state_dict()
    moved = {name for name in after if "running" in name and not torch.equal(after[name], before[name])}
    assert not any("bottom_up" in name for name in moved)
    own = {name for name in after if "running" in name and "bottom_up" not in name}
    assert moved == own  # the heads' and the bases' do change


def test_evaluation_mode_changes_no_statistics():
    training = tiny_training(tiny_config(freeze_at=0, norm="BN")).eval()
    before = {name: tensor.clone() for name, tensor in training.state_dict().items()}
    first, second = values(training(*batch())), values(training(*batch()))
    assert first == second
    assert all(torch.equal(tensor, before[name]) for name, tensor in training.state_dict().items())


def test_mixed_precision_comes_close_and_has_finite_gradients():
    training = tiny_training().eval()
    expected = values(training(*batch()))
    with torch.autocast("cpu", torch.bfloat16):
        losses = training(*batch())
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    for name, value in values(losses).items():
        assert value == pytest.approx(expected[name], rel=0.05), name
    sum(losses.values()).backward()
    learning = [p for p in training.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)


def test_pictures_of_another_shape():
    training = tiny_training()
    images = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    losses = training(images, [truth([[40, 0, 90, 60]], [1], size=(64, 96))])
    assert all(loss.isfinite() for loss in losses.values())
