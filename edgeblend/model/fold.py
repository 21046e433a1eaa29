"""Batch norms folded into the convolutions before them, for inference."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgeblend.model.backbones.deform_conv import ModulatedDeformConv2d
from edgeblend.model.blendmask import BlendMask
from edgeblend.model.fcos import Tower


def fold_batch_norms(network: BlendMask) -> BlendMask:
    """Return a copy, in eval mode and without gradients, that computes the same without any batch norm.

    In a head with one batch norm for each level the shared convolution becomes one for each level. Group
    norms stay. Parameter names change, so checkpoints must be loaded before.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(folded.modules()):
        if isinstance(module, Tower):
            _fold_tower(module)
        elif isinstance(module, nn.Sequential):
            for (conv_name, conv), (norm_name, norm) in pairwise(module.named_children()):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    _fold_pair(module, conv_name, norm_name)
        elif isinstance(getattr(module, "norm", None), nn.BatchNorm2d):
            _fold_into(module, module.norm)
            module.norm = nn.Identity()
        for conv_name, norm_name in getattr(module, "norm_pairs", ()):
            _fold_pair(module, conv_name, norm_name)
    return folded


def _fold_pair(parent: nn.Module, conv_name: str, norm_name: str) -> None:
    _fold_into(parent.get_submodule(conv_name), parent.get_submodule(norm_name))
    setattr(parent, norm_name, nn.Identity())


def _fold_tower(tower: Tower) -> None:
    for index, (conv, norms) in enumerate(pairwise(list(tower))):
        if not isinstance(norms, nn.ModuleList):
            continue
        convs = [copy.deepcopy(conv) for _ in norms]
        for level_conv, norm in zip(convs, norms, strict=True):
            _fold_into(level_conv, norm)
        tower[index] = nn.ModuleList(convs)
        tower[index + 1] = nn.Identity()


def _fold_into(conv: nn.Module, norm: nn.Module | Tensor) -> None:
    """Change a convolution's weight and bias so that it computes ``norm(conv(x))``."""
    if not isinstance(conv, nn.Conv2d | ModulatedDeformConv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"cannot fold a {type(norm).__name__} into a {type(conv).__name__}")
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None
    # In float64, so that each new weight is rounded once.
    scale = norm.weight.double() / torch.sqrt(var.double() + norm.eps)
    bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.double()
    bias = norm.bias.double() + (bias - mean.double()) * scale
    dtype = conv.weight.dtype
    weight = (conv.weight.double() * scale.view(-1, 1, 1, 1)).to(dtype)
    conv.weight = nn.Parameter(weight, requires_grad=False)
    conv.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
