"""The optimizer and its learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from edgeblend.model.criterion import TrainingNetwork
from edgeblend.training.options import TrainingOptions

_FINAL_SHARE = 0.01  # of the highest learning rate, at the end of the cosine


def build_optimizer(training: TrainingNetwork, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return an optimizer over what is not frozen; norms and biases without weight decay."""
    groups = []
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
                groups.append({"params": members, "lr": rate, "weight_decay": decay})
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9)
    return torch.optim.AdamW(groups)


def build_schedule(
    optimizer: torch.optim.Optimizer, options: TrainingOptions, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Return a linear warm-up, then half a cosine down to a hundredth, over ``steps`` steps."""
    warmup = min(options.warmup_steps, steps // 4)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, steps - warmup)
        return _FINAL_SHARE + (1 - _FINAL_SHARE) * (1 + math.cos(math.pi * min(1.0, progress))) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def clip_gradients(training: nn.Module, length: float) -> torch.Tensor:
    """Shorten all gradients together to at most ``length``; return how long they were."""
    return nn.utils.clip_grad_norm_(training.parameters(), length)
