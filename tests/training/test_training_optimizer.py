"""Which parameters learn, how fast, and how their average follows: by hand."""

import math

import pytest
import torch
from coloured_shapes import write_lite

from edgeblend.model.blendmask import build_network
from edgeblend.model.config import load_config
from edgeblend.model.losses.criterion import TrainingNetwork
from edgeblend.training.average import MovingAverage
from edgeblend.training.optimizer import build_optimizer, rate_share, set_rates
from edgeblend.training.options import TrainingOptions


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    config = load_config(write_lite(tmp_path_factory.mktemp("config")))
    return TrainingNetwork(build_network(config)).train()


def groups_of(training, **options):
    """For each parameter's name its group in the optimizer."""
    optimizer = build_optimizer(training, TrainingOptions(**options))
    names = {id(parameter): name for name, parameter in training.named_parameters()}
    listed = [(names[id(p)], group) for group in optimizer.param_groups for p in group["params"]]
    assert len({name for name, _ in listed}) == len(listed)
    return dict(listed)


# Groups


def test_what_is_frozen_is_absent_and_all_else_is_there(training):
    groups = groups_of(training)
    frozen = {name for name, parameter in training.named_parameters() if not parameter.requires_grad}
    assert groups.keys() | frozen == dict(training.named_parameters()).keys()
    assert not groups.keys() & frozen
    backbone = "network.backbone.bottom_up"
    assert f"{backbone}.stem.weight" in frozen  # FREEZE_AT 2
    assert f"{backbone}.blocks.14.expand.norm.weight" in frozen  # FrozenBN
    assert f"{backbone}.blocks.14.expand.weight" in groups


@pytest.mark.parametrize(
    ("name", "rate", "decay"),
    [
        ("network.backbone.bottom_up.blocks.14.expand.weight", 5e-4, 0.02),
        ("network.backbone.fpn_lateral3.weight", 1e-3, 0.02),
        ("network.backbone.fpn_lateral3.bias", 1e-3, 0.0),
        ("network.proposal_generator.fcos_head.cls_logits.weight", 1e-3, 0.02),
        ("network.proposal_generator.fcos_head.cls_logits.bias", 1e-3, 0.0),
        ("network.top_layer.weight", 1e-3, 0.02),
        ("seg_head.1.weight", 1e-3, 0.0),  # a norm's
        ("seg_head.6.weight", 1e-3, 0.02),
    ],
)
def test_rate_and_decay(training, name, rate, decay):
    group = groups_of(training)[name]
    assert group["lr"] == group["highest_lr"] == pytest.approx(rate)
    assert group["weight_decay"] == decay


def test_norms_and_biases_are_what_does_not_decay(training):
    without = {name for name, group in groups_of(training).items() if group["weight_decay"] == 0}
    modules = dict(training.named_modules())
    for name in groups_of(training):
        owner, kind = name.rsplit(".", 1)
        norm = isinstance(modules[owner], torch.nn.BatchNorm2d | torch.nn.GroupNorm)
        assert (name in without) == (norm or kind == "bias"), name


def test_options_reach_the_groups(training):
    groups = groups_of(
        training, optimizer="sgd", learning_rate=0.2, batch_size=8, backbone_factor=0.1, weight_decay=0.5
    )
    group = groups["network.backbone.bottom_up.blocks.14.expand.weight"]
    assert (group["lr"], group["weight_decay"], group["momentum"]) == (pytest.approx(0.01), 0.5, 0.9)
    assert groups["network.top_layer.weight"]["lr"] == pytest.approx(0.1)
    assert groups["network.top_layer.bias"]["weight_decay"] == 0


def test_the_kinds_of_optimizer(training):
    assert type(build_optimizer(training, TrainingOptions())) is torch.optim.AdamW
    assert type(build_optimizer(training, TrainingOptions(optimizer="sgd"))) is torch.optim.SGD


# The schedule


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 1 / 11),
        (1, 2 / 11),
        (9, 10 / 11),
        (10, 1.0),
        (55, 0.01 + 0.99 / 2),  # half way from 10 to 100
        (40, 0.01 + 0.99 * 0.75),  # a third of the way: (1 + cos 60 degrees) / 2
        (99, 0.01 + 0.99 * (1 + math.cos(math.pi * 89 / 90)) / 2),
    ],
)
def test_warming_up_and_falling(step, share):
    assert rate_share(step, steps=100, warmup_steps=10) == pytest.approx(share)


def test_warming_up_takes_at_most_a_quarter():
    shares = [rate_share(step, steps=8, warmup_steps=200) for step in range(8)]
    assert shares[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert shares[2:] == sorted(shares[2:], reverse=True)
    assert min(shares[2:]) > 0.01


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_the_shortest_runs_have_a_rate(steps):
    assert all(0 < rate_share(step, steps=steps, warmup_steps=200) <= 1 for step in range(steps))


def test_without_warming_up():
    assert rate_share(0, steps=10, warmup_steps=0) == 1


def test_every_group_has_its_share(training):
    optimizer = build_optimizer(training, TrainingOptions())
    set_rates(optimizer, 0.5)
    set_rates(optimizer, 0.1)  # of the highest rate, not of the last
    assert {round(group["lr"], 12) for group in optimizer.param_groups} == {5e-5, 1e-4}


# The average


def test_the_average_by_hand():
    average = MovingAverage({"w": torch.tensor([0.0, 10.0])}, decay=0.3)
    average.update({"w": torch.tensor([11.0, 10.0])})  # keeps 2 / 11 of itself
    assert average.state["w"].tolist() == pytest.approx([9, 10])
    average.update({"w": torch.tensor([21.0, -2.0])})  # keeps 3 / 12
    assert average.state["w"].tolist() == pytest.approx([18, 1])
    average.update({"w": torch.tensor([8.0, 1.0])})  # 4 / 13 would be more than 0.3
    assert average.state["w"].tolist() == pytest.approx([11, 1])


def test_the_average_is_not_the_network():
    weight = torch.zeros(2)
    average = MovingAverage({"w": weight}, decay=0.5)
    weight += 1
    assert average.state["w"].tolist() == [0, 0]


def test_what_does_not_change_stays_exactly():
    weight = torch.randn(100, generator=torch.Generator().manual_seed(0))
    average = MovingAverage({"w": weight}, decay=0.9)
    for _ in range(20):
        average.update({"w": weight})
    assert torch.equal(average.state["w"], weight)


def test_an_average_goes_on():
    one = MovingAverage({"w": torch.zeros(1)}, decay=0.9)
    one.update({"w": torch.ones(1)})
    other = MovingAverage({"w": torch.ones(1)}, decay=0.9)
    other.load(one.state, one.steps)
    for average in (one, other):
        average.update({"w": torch.full((1,), 5.0)})
    assert torch.equal(one.state["w"], other.state["w"])
    assert one.steps == other.steps == 2
