"""Outputs of a network that a test makes by hand, and their losses."""

import dataclasses

import torch
from tiny_training import CLASSES, tiny_config
from torch import nn

from edgeblend.model.blendmask import build_network
from edgeblend.model.fcos import HeadOutput
from edgeblend.model.losses.criterion import TrainingNetwork
from edgeblend.model.losses.targets import BACKGROUND, assign_targets, head_locations

GRIDS = ((8, 8), (4, 4), (2, 2))
"""Of a picture of 64 x 64 pixels at strides 8, 16 and 32."""


class Fixed(nn.Module):
    """Says the same whatever it reads."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, _):
        return self.value


class MadeOutputs:
    """A training network whose outputs are tensors that a test fills; they start at zero."""

    def __init__(self, truths, **changes):
        config = tiny_config()
        fcos = dataclasses.replace(config.fcos, **changes)
        self.config, self.truths = dataclasses.replace(config, fcos=fcos), truths
        self.training = TrainingNetwork(build_network(self.config)).train()
        self.count = len(truths)
        self.cls = [torch.zeros(self.count, CLASSES, h, w, requires_grad=True) for h, w in GRIDS]
        self.reg = [torch.zeros(self.count, 4, h, w, requires_grad=True) for h, w in GRIDS]
        self.ctr = [torch.zeros(self.count, 1, h, w, requires_grad=True) for h, w in GRIDS]
        self.features = [torch.zeros(self.count, 32, h, w, requires_grad=True) for h, w in GRIDS]
        self.bases = torch.zeros(self.count, 4, 16, 16, requires_grad=True)
        self.semantic = torch.zeros(self.count, CLASSES + 1, 8, 8, requires_grad=True)
        self.targets = self._targets()

    def _targets(self):
        locations = head_locations(GRIDS, self.config.fcos)
        return [assign_targets(locations, truth, self.config.fcos) for truth in self.truths]

    def positives(self):
        """(picture, level, row, column, index among all locations) of every positive location."""
        found = []
        for picture, targets in enumerate(self.targets):
            start = 0
            for level, (height, width) in enumerate(GRIDS):
                here = targets.objects[start : start + height * width].view(height, width) != BACKGROUND
                for row, column in here.nonzero().tolist():
                    found.append((picture, level, row, column, start + row * width + column))
                start += height * width
        return found

    @torch.no_grad()
    def perfect(self):
        """Fill everything with what the objects ask for."""
        for level in self.cls:
            level.fill_(-20)
        for picture, level, row, column, place in self.positives():
            targets = self.targets[picture]
            self.cls[level][picture, targets.classes[place], row, column] = 20
            self.reg[level][picture, :, row, column] = targets.distances[place]
            self.ctr[level][picture, 0, row, column] = torch.logit(targets.centerness[place], 1e-6)
        # The first basis shows the objects, and all attention is on it.
        self.bases.fill_(-20)
        for picture, objects in enumerate(self.truths):
            for (left, top, right, bottom), mask in zip(
                (objects.boxes / 4).long().tolist(), objects.masks, strict=True
            ):
                self.bases[picture, 0, top:bottom, left:right] = mask * 40.0 - 20.0
            one_hot = nn.functional.one_hot(objects.semantic, CLASSES + 1).permute(2, 0, 1)
            self.semantic[picture] = one_hot * 40.0 - 20.0
        layer = self.training.network.top_layer
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([40.0, 0.0, 0.0, 0.0]).repeat_interleave(16))
        return self

    def losses(self):
        network, training = self.training.network, self.training
        network.pyramid = lambda images: {name: None for name in ("p3", "p4", "p5")}
        parts = zip(self.cls, self.reg, self.ctr, self.features, strict=True)
        outputs = [HeadOutput(*part) for part in parts]
        network.head = lambda pyramid: outputs
        network.basis = lambda features: self.bases
        if training.seg_head is not None:
            training.seg_head = Fixed(self.semantic)
        return training(torch.zeros(self.count, 64, 64, 3, dtype=torch.uint8), self.truths)
