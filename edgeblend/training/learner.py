"""A network being trained, one step at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgeblend.errors import TrainingError
from edgeblend.model.checkpoints.pretrained import load_training_state, training_state
from edgeblend.model.losses.criterion import TrainingNetwork
from edgeblend.training.average import MovingAverage
from edgeblend.training.batches import Batch
from edgeblend.training.optimizer import build_optimizer, rate_share, set_rates
from edgeblend.training.options import TrainingOptions

_MOMENTUM = ("momentum_buffer",)
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What SGD and AdamW remember of a parameter."""
_CHECKED = 20  # steps between looks at the losses: each look waits for a GPU to catch up


class Learner:
    """Weights, their moving average, and the optimizer's memory."""

    def __init__(
        self,
        training: TrainingNetwork,
        options: TrainingOptions,
        *,
        steps: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take a network, on the device where it will be trained and with its initial weights.

        Args:
            training: changed from now on.
            options: how to train.
            steps: how many there will be in all; the learning rate falls over them.
            dtype: what convolutions compute in; weights stay float32.
        """
        self.training = training
        self.average = MovingAverage(training_state(training), decay=options.average_decay)
        self.step_count = 0
        self._options, self._steps, self._dtype = options, steps, dtype
        self._device = training.network.pixel_mean.device
        self._optimizer = build_optimizer(training, options)
        # float16 has too few exponents for gradients; bfloat16 has float32's.
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=dtype == torch.float16)

    @property
    def rate(self) -> float:
        """The learning rate of the next step, of all but the backbone."""
        return self._options.rate * self._share()

    def learn(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Learn from the batches of an epoch; return their mean losses by name.

        Raises:
            TrainingError: losses or weights are not finite, or the GPU's memory does not suffice.
        """
        self.training.train()
        sums: dict[str, Tensor] = {}
        count = 0
        for count, batch in enumerate(batches, start=1):
            losses = self.step(batch)
            if count % _CHECKED == 0:
                self._check_finite(losses)
            for name, value in losses.items():
                sums[name] = sums[name] + value if name in sums else value
        means = {name: value / count for name, value in sums.items()}
        self._check_finite(means)
        if not all(bool(tensor.isfinite().all()) for tensor in training_state(self.training).values()):
            raise TrainingError(f"the last steps made weights that are not finite; {self._advice()}")
        return {name: float(value) for name, value in means.items()}

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Learn from one batch; return its losses by name."""
        try:
            return self._step(batch.to(self._device))
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the memory of {self._device} does not suffice for {len(batch.images)} pictures of"
                f" {batch.images.shape[2]}x{batch.images.shape[1]} a step; lower the batch size"
            ) from error

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        set_rates(self._optimizer, self._share())
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            losses: dict[str, Tensor] = self.training(batch.images, batch.truths)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self._scaler.scale(torch.stack(list(losses.values())).sum()))
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self.training.parameters(), self._options.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.average.update(training_state(self.training))
        self.step_count += 1
        return {name: value.detach() for name, value in losses.items()}

    def _share(self) -> float:
        return rate_share(self.step_count, steps=self._steps, warmup_steps=self._options.warmup_steps)

    def state(self) -> dict[str, Any]:
        """Return everything that :meth:`load` needs to go on as if nothing had happened."""
        return {
            "weights": training_state(self.training),
            "average": self.average.state,
            "average_steps": self.average.steps,
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "step_count": self.step_count,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same network and options.

        Raises:
            CheckpointError: it is another network's.
            LookupError, TypeError, ValueError, AttributeError: it is something else.
        """
        load_training_state(self.training, state["weights"])
        self.average.load(state["average"], _count(state, "average_steps"))
        self._load_optimizer(state["optimizer"]["state"])
        if state["scaler"]:  # empty where it was not needed, in another precision
            self._scaler.load_state_dict(state["scaler"])
        self.step_count = _count(state, "step_count")

    def _load_optimizer(self, memory: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Take what the optimizer remembers of each parameter; its settings are those of the options."""
        groups = self._optimizer.param_groups
        parameters = dict(enumerate(parameter for group in groups for parameter in group["params"]))
        names = _MOMENTUM if isinstance(self._optimizer, torch.optim.SGD) else _MOMENTS
        for index, remembered in memory.items():
            shapes = {name: tuple(tensor.shape) for name, tensor in remembered.items()}
            if shapes != {name: () if name == "step" else tuple(parameters[index].shape) for name in names}:
                raise ValueError(f"the optimizer's memory of parameter {index} is {shapes}")
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": memory})

    def _check_finite(self, losses: Mapping[str, Tensor]) -> None:
        if not all(math.isfinite(float(value)) for value in losses.values()):
            shown = ", ".join(f"{name} {float(value):.3g}" for name, value in losses.items())
            raise TrainingError(f"the losses are no longer finite ({shown}); {self._advice()}")

    def _advice(self) -> str:
        anew = "train anew with a lower learning rate"
        return anew if self._dtype == torch.float32 else f"resume in float32, or {anew}"


def _count(state: Mapping[str, Any], name: str) -> int:
    value = state[name]
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a number of steps, got {name} {value!r}")
    return value
