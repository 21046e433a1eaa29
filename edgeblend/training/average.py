"""The moving average of the weights: what is evaluated and kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class MovingAverage:
    """Weights and statistics averaged over steps, the recent ones counting most."""

    def __init__(self, state: Mapping[str, Tensor], *, decay: float) -> None:
        self.state = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.steps = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, state: Mapping[str, Tensor]) -> None:
        """Move towards a network's state; quickly at first, when it changes fastest.

        At step n the average keeps ``min(decay, (1 + n) / (10 + n))`` of itself.
        """
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        names = list(self.state)
        torch._foreach_lerp_([self.state[name] for name in names], [state[name] for name in names], 1 - decay)

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor], steps: int) -> None:
        """Go on from another average of the same network.

        Raises:
            ValueError: its names or shapes are others.
        """
        if {name: tensor.shape for name, tensor in state.items()} != {
            name: tensor.shape for name, tensor in self.state.items()
        }:
            raise ValueError("the averaged weights are those of another network")
        self.steps = steps
        for name, tensor in self.state.items():
            tensor.copy_(state[name])
