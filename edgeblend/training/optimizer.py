"""The optimizer and its learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch

from edgeblend.model.losses.criterion import TrainingNetwork
from edgeblend.training.options import TrainingOptions

FINAL_SHARE = 0.01
"""Share of the highest learning rate that is left at the end of the cosine."""


def build_optimizer(training: TrainingNetwork, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return an optimizer over what is not frozen; norms and biases without weight decay."""
    groups: list[dict[str, Any]] = []
    backbone = {id(parameter) for parameter in training.network.backbone.bottom_up.parameters()}
    for in_backbone in (True, False):
        for decayed in (True, False):
            members = [
                parameter
                for parameter in training.parameters()
                if parameter.requires_grad
                and (id(parameter) in backbone) == in_backbone
                and (parameter.ndim > 1) == decayed
            ]
            if members:
                rate = options.rate * (options.backbone_factor if in_backbone else 1.0)
                decay = options.decay if decayed else 0.0
                groups.append({"params": members, "lr": rate, "highest_lr": rate, "weight_decay": decay})
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9)
    return torch.optim.AdamW(groups)


def rate_share(step: int, *, steps: int, warmup_steps: int) -> float:
    """Return which share of the highest learning rate a step has, of ``steps`` counted from 0.

    It rises linearly for ``warmup_steps``, at most a quarter of all; then it falls along half a cosine
    towards :data:`FINAL_SHARE`. It depends on nothing else, so that there is nothing to restore.
    """
    warmup = min(warmup_steps, steps // 4)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    return FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Give every group this share of its highest learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = share * group["highest_lr"]
