"""The network in the operations that devices for TFLite have; every part computes what it stands for.

LiteRT's converter takes the network as it is, but some of what comes out no integer device runs: group norms
in five dimensions with transposes around them, bilinear resizing by 4, a maximum over padding of minus
infinity. The parts here are put in their places in a copy of the network.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.converters.split import DetectorGraph, SplitGraph
from edgeblend.model.backbones.resnet import Stem
from edgeblend.model.basis import BasisModule
from edgeblend.model.blendmask import SIZE_DIVISOR, BlendMask
from edgeblend.model.fcos import FCOSHead
from edgeblend.model.layers import GroupNorm

_STRIDE_RATIO_OF_DEVICES = 2
"""Integer devices resize bilinearly, half-pixel centres, by this factor alone."""


class ChannelsLast(nn.Module):
    """A graph whose inputs and outputs are (1, h, w, C) float32; the image holds byte values, 0 to 255."""

    def __init__(self, graph: SplitGraph) -> None:
        super().__init__()
        self.module = copy.deepcopy(graph.module)
        self.takes_image = isinstance(self.module, DetectorGraph)
        _replace_parts(cast(BlendMask, self.module.network))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what the graph returns."""
        if not self.takes_image:
            inputs = tuple(value.permute(0, 3, 1, 2) for value in inputs)
        found = self.module(*inputs)
        outputs = (found,) if isinstance(found, Tensor) else found
        return tuple(value.permute(0, 2, 3, 1) for value in outputs)


def layer_weights(module: ChannelsLast) -> list[tuple[str, Tensor]]:
    """Return the weight (out, in / groups, kh, kw) of every layer that a checkpoint has, with its name.

    A box convolution whose outputs each level scales has one weight a level under one name.
    """
    network = cast(BlendMask, module.module.network)
    return [
        (
            name.replace(".scales.", ".bbox_pred.").rpartition(".")[0] if ".scales." in name else name,
            conv.weight,
        )
        for name, conv in network.named_modules()
        if isinstance(conv, nn.Conv2d) and not isinstance(conv, _Helper)
    ]


class _Helper(nn.Conv2d):
    """A convolution with fixed weights that no checkpoint has."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, groups: int = 1) -> None:
        outputs, inputs, height, width = weight.shape
        super().__init__(
            inputs * groups, outputs, (height, width), padding="same", groups=groups, bias=bias is not None
        )
        self.weight = nn.Parameter(weight.to(torch.float32), requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.to(torch.float32), requires_grad=False)


class _Normalize(nn.Module):
    """``BlendMask.normalize`` as one convolution of each channel for itself.

    Not folded into the first layer, although that would save it: at the border that layer reads zeros, which
    are zeros after normalisation, not black.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        mean, std = mean.double().flatten(), std.double().flatten()
        self.affine = _Helper((1 / std).view(-1, 1, 1, 1), -mean / std, groups=len(mean))

    def forward(self, image: Tensor) -> Tensor:
        x = self.affine(image.permute(0, 3, 1, 2))
        bottom, right = (-size % SIZE_DIVISOR for size in x.shape[-2:])
        return F.pad(x, (0, right, 0, bottom)) if bottom or right else x


class _GroupNorm(nn.Module):
    """A group norm over means of channels, which a 1x1 convolution then averages over each group."""

    def __init__(self, norm: GroupNorm) -> None:
        super().__init__()
        size = norm.num_channels // norm.num_groups
        groups = torch.arange(norm.num_channels) // size
        same = (groups[:, None] == groups[None]).double() / size
        self.average = _Helper(same.view(norm.num_channels, norm.num_channels, 1, 1))
        self.weight = nn.Parameter(norm.weight.detach().view(1, -1, 1, 1), requires_grad=False)
        self.bias = nn.Parameter(norm.bias.detach().view(1, -1, 1, 1), requires_grad=False)
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self.average(x.mean((2, 3), keepdim=True))
        variance = self.average((centred * centred).mean((2, 3), keepdim=True))
        out: Tensor = centred * (torch.rsqrt(variance + self.eps) * self.weight) + self.bias
        return out


class _Stem(nn.Module):
    """A ResNet's stem whose pooling sees zeros beyond the border: as good as nothing, after a ReLU."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.conv1 = stem.conv1

    def forward(self, images: Tensor) -> Tensor:
        x = F.pad(F.relu(self.conv1(images)), (1, 1, 1, 1))
        return F.max_pool2d(x, kernel_size=3, stride=2)


class _Upsample(nn.Module):
    """Bilinear upsampling by an even factor s, with half-pixel centres, as devices have it.

    Its kernel along one axis, the triangle (1, 3, .., 2s-1, 2s-1, .., 3, 1) / 2s, is a box of s ones (nearest
    neighbours) convolved with (1, 2, .., 2, 1) / 2s, s + 1 long. Beyond the border, where the triangle sees
    the outermost pixel again, the second sees zeros; in reach of the border all that it does see is that
    pixel, so that a factor for each position makes up for it.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        taps = np.full(factor + 1, 2.0)
        taps[[0, -1]] = 1.0
        self.taps = taps / taps.sum()
        kernel = torch.from_numpy(np.outer(self.taps, self.taps))
        self.filter = _Helper(kernel.expand(channels, 1, -1, -1).clone(), groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        grown = F.interpolate(x, scale_factor=float(self.factor))
        # NumPy, which leaves no trace: the factors are constants of the graph.
        seen = [np.convolve(np.ones(size), self.taps, "same") for size in grown.shape[-2:]]
        factors = torch.from_numpy(1 / np.outer(*seen)).to(torch.float32)
        out: Tensor = self.filter(grown) * factors
        return out


class _Bases(nn.Module):
    """A basis module whose levels are resized by what devices can."""

    def __init__(self, basis: BasisModule, ratios: Sequence[int]) -> None:
        super().__init__()
        self.refine, self.tower = basis.refine, basis.tower
        self.upsamples = nn.ModuleList(
            nn.Upsample(scale_factor=float(ratio), mode="bilinear", align_corners=False)
            if ratio == _STRIDE_RATIO_OF_DEVICES
            else _Upsample(cast(nn.Conv2d, cast(nn.Sequential, refine)[0]).out_channels, ratio)
            for refine, ratio in zip(list(basis.refine)[1:], ratios, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x, *coarse = (refine(feature) for refine, feature in zip(self.refine, features, strict=True))
        for upsample, level in zip(self.upsamples, coarse, strict=True):
            x = x + upsample(level)
        bases: Tensor = self.tower(x)
        return bases


def _replace_parts(network: BlendMask) -> None:
    # As an instance's own attribute, which is found before the class's method.
    object.__setattr__(network, "normalize", _Normalize(network.pixel_mean, network.pixel_std))
    finest, *coarse = (int(level.removeprefix("p")) for level in network.config.basis.in_features)
    network.basis_module = _Bases(  # type: ignore[assignment]
        network.basis_module, [2 ** (level - finest) for level in coarse]
    )
    for parent in list(network.modules()):
        if isinstance(parent, FCOSHead):
            _fold_scales(parent)
        for name, child in list(parent.named_children()):
            if isinstance(child, GroupNorm):
                setattr(parent, name, _GroupNorm(child))
            elif isinstance(child, Stem):
                setattr(parent, name, _Stem(child))


def _fold_scales(head: FCOSHead) -> None:
    """Give each level a box convolution of its own, times the level's factor."""
    if head.scales is None:
        return
    convs = [copy.deepcopy(head.bbox_pred) for _ in head.scales]
    for conv, scale in zip(convs, head.scales, strict=True):
        factor = cast(Tensor, scale.scale).detach()
        conv.weight = nn.Parameter(conv.weight.detach() * factor, requires_grad=False)
        conv.bias = nn.Parameter(cast(Tensor, conv.bias).detach() * factor, requires_grad=False)
    head.bbox_pred = nn.Identity()  # type: ignore[assignment]
    head.scales = nn.ModuleList(convs)
