"""Steps of a network so small that each can be worked out by hand."""

import math

import pytest
import torch
from torch import nn

from edgeblend.errors import TrainingError
from edgeblend.training.batches import Batch
from edgeblend.training.learner import Learner
from edgeblend.training.options import TrainingOptions

SGD = {"optimizer": "sgd", "learning_rate": 1.6, "batch_size": 1, "weight_decay": 0.0, "warmup_steps": 0}
"""A rate of 0.1 at its highest."""


class Line(nn.Module):
    """Stands in for a training network: one weight in the backbone, one outside; losses are multiples."""

    def __init__(self):
        super().__init__()
        self.network = nn.Module()
        self.network.register_buffer("pixel_mean", torch.zeros(1), persistent=False)
        self.network.backbone = nn.Module()
        self.network.backbone.bottom_up = nn.Linear(1, 1, bias=False)
        self.network.head = nn.Linear(1, 1, bias=False)
        self.seg_head = None
        with torch.no_grad():
            self.weights[0].fill_(2.0)
            self.weights[1].fill_(3.0)

    @property
    def weights(self):
        return self.network.backbone.bottom_up.weight, self.network.head.weight

    def forward(self, images, truths):
        factor = images.float().mean()
        return {"cls": factor * self.weights[0].sum(), "box": 2 * factor * self.weights[1].sum()}


def batch(value):
    return Batch(torch.full((1, 1, 1, 3), value), ())


def values(line):
    return [weight.item() for weight in line.weights]


def learner_of(line, *, steps=1000, dtype=torch.float32, **options):
    return Learner(line, TrainingOptions(**{**SGD, **options}), steps=steps, dtype=dtype)


def test_a_step_by_hand():
    line = Line()
    learner = learner_of(line, clip_norm=1e6)
    losses = learner.step(batch(1.0))
    assert {name: float(value) for name, value in losses.items()} == {"cls": 2.0, "box": 6.0}
    # Gradients 1 and 2; the backbone's rate is half of 0.1.
    assert values(line) == pytest.approx([2 - 0.05, 3 - 0.2])
    learner.step(batch(1.0))  # momentum: 0.9 of the last step comes on top; the rate has hardly fallen
    assert values(line) == pytest.approx([2 - 0.05 - 0.095, 3 - 0.2 - 0.38], rel=1e-5)


def test_long_gradients_are_shortened():
    line = Line()
    learner_of(line, clip_norm=1.0).step(batch(100.0))  # (100, 200) long 223.6
    assert values(line) == pytest.approx([2 - 0.05 / math.sqrt(5), 3 - 0.1 * 2 / math.sqrt(5)], rel=1e-5)


def test_the_rate_follows_the_steps():
    line = Line()
    learner = learner_of(line, steps=8, warmup_steps=2, clip_norm=1e6)
    assert learner.rate == pytest.approx(0.1 / 3)
    learner.step(batch(1.0))
    assert values(line)[1] == pytest.approx(3 - 0.2 / 3)
    assert learner.rate == pytest.approx(0.2 / 3)
    learner.step(batch(0.0))
    assert learner.rate == pytest.approx(0.1)


def test_the_average_follows_the_steps():
    line = Line()
    learner = learner_of(line, clip_norm=1e6)
    learner.step(batch(1.0))
    name = "head.weight"
    assert float(learner.average.state[name]) == pytest.approx(3 - 0.2 * 9 / 11)


def test_the_mean_losses_of_an_epoch():
    learner = learner_of(Line(), learning_rate=1.6e-8)
    losses = learner.learn([batch(1.0), batch(2.0), batch(6.0)])
    assert losses == pytest.approx({"cls": 6.0, "box": 18.0}, rel=1e-5)
    assert learner.step_count == 3


def test_a_state_goes_on_exactly():
    straight, first = Line(), Line()
    one, two = learner_of(straight, optimizer="adamw"), learner_of(first, optimizer="adamw")
    for value in (1.0, -2.0):
        one.step(batch(value))
        two.step(batch(value))
    state = two.state()
    second = Line()
    three = learner_of(second, optimizer="adamw")
    three.load(state)
    for value in (0.5, 3.0):
        one.step(batch(value))
        three.step(batch(value))
    assert values(second) == values(straight)
    assert three.rate == one.rate
    assert all(torch.equal(three.average.state[name], tensor) for name, tensor in one.average.state.items())


# What cannot go on


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 2])
def test_losses_that_are_not_finite(value, place):
    batches = [batch(1.0)] * 3
    batches[place] = batch(value)
    with pytest.raises(TrainingError, match="no longer finite .cls .*train anew with a lower learning rate"):
        learner_of(Line()).learn(batches)


def test_losses_are_looked_at_before_the_epoch_ends():
    def batches():
        yield batch(math.nan)
        for number in range(1000):
            assert number < 50
            yield batch(1.0)

    with pytest.raises(TrainingError, match="no longer finite"):
        learner_of(Line()).learn(batches())


def test_weights_that_the_last_step_broke():
    """The loss before it was finite, and nothing after it would have told."""
    line = Line()
    learner = learner_of(line, clip_norm=1e6)
    line.weights[0].register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match="last steps made weights that are not finite"):
        learner.learn([batch(1.0)])


def test_lower_precision_is_a_way_out():
    with pytest.raises(TrainingError, match="resume in float32, or train anew"):
        learner_of(Line(), dtype=torch.bfloat16).learn([batch(math.nan)])


def test_memory_that_does_not_suffice():
    class Large(Line):
        def forward(self, images, truths):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(TrainingError, match="memory of cpu .* of 1x1 a step; lower the batch size"):
        learner_of(Large()).step(batch(1.0))


# Precision


def test_bfloat16_computes_in_bfloat16_and_keeps_weights():
    seen = []

    class Watched(Line):
        def forward(self, images, truths):
            out = self.network.head(images.float().mean().view(1, 1))
            seen.append(out.dtype)
            return {"cls": out.float().sum()}

    line = Watched()
    learner_of(line, dtype=torch.bfloat16).step(batch(1.0))
    learner_of(line).step(batch(1.0))
    assert seen == [torch.bfloat16, torch.float32]
    assert line.weights[1].dtype == torch.float32


def test_float16_scales_its_losses_and_leaves_out_steps_that_overflow():
    """On a CPU, where only this test does it: the loss is multiplied by 65536 and gradients divided again."""
    line = Line()
    learner = learner_of(line, dtype=torch.float16, clip_norm=1e6)
    learner.step(batch(1.0))
    assert values(line) == pytest.approx([2 - 0.05, 3 - 0.2])
    before = values(line)
    learner.step(batch(1e38))  # finite, but not 65536 times
    assert values(line) == before
    assert learner.state()["scaler"]["scale"] == 32768
    other = learner_of(Line(), dtype=torch.float16)
    other.load(learner.state())
    assert other.state()["scaler"]["scale"] == 32768
    learner_of(Line()).load(learner.state())  # in float32, which has nothing to scale


def remembered(**changes):
    """What AdamW remembers after a step, for a network of two weights; changed, or without what is None."""
    line = Line()
    learner = learner_of(line, optimizer="adamw")
    learner.step(batch(1.0))
    state = learner.state()
    for name, value in changes.items():
        state["optimizer"]["state"][0][name] = value
        if value is None:
            del state["optimizer"]["state"][0][name]
    return state


def test_the_optimizer_goes_on_with_its_memory_and_the_options_settings():
    state = remembered()
    state["optimizer"]["param_groups"][0]["eps"] = "not a number"
    learner = learner_of(Line(), optimizer="adamw")
    learner.load(state)
    learner.step(batch(1.0))
    assert learner.state()["optimizer"]["state"][0]["step"] == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"exp_avg": torch.zeros(2, 1)},
        {"exp_avg": None},
        {"exp_avg": 1.0},
        {"step": torch.zeros(2)},
        {"momentum_buffer": torch.zeros(1, 1)},
    ],
    ids=str,
)
def test_a_memory_of_other_parameters_is_refused(changes):
    with pytest.raises((ValueError, AttributeError)):
        learner_of(Line(), optimizer="adamw").load(remembered(**changes))


@pytest.mark.parametrize("name", ["step_count", "average_steps"])
@pytest.mark.parametrize("value", [-1, 1.5, "3", True, None])
def test_numbers_of_steps_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match="expected a number of steps"):
        learner_of(Line(), optimizer="adamw").load({**remembered(), name: value})


def test_an_average_of_other_shapes_is_refused():
    state = remembered()
    state["average"] = {name: tensor.new_zeros(1) for name, tensor in state["average"].items()}
    with pytest.raises(ValueError, match="another network"):
        learner_of(Line(), optimizer="adamw").load(state)
