"""What every location of the head should predict: FCOS target assignment (arXiv 1904.01355, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeblend.model.config_files.schema import FCOSConfig

BACKGROUND = -1
"""The class and the object of a location that should predict nothing."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The objects of one picture, on the device that trains."""

    boxes: Tensor
    """(N, 4) float32 xyxy in network pixels, each with an area."""
    classes: Tensor
    """(N,) int64."""
    masks: Tensor
    """(N, R, R) uint8, 0 or 1: each object's mask, sampled over its box."""
    semantic: Tensor
    """(h, w) int64 at stride 8: 0 is background, 1 + class where an object is."""

    def to(self, device: torch.device) -> GroundTruth:
        """Return it on a device."""
        tensors = (self.boxes, self.classes, self.masks, self.semantic)
        return GroundTruth(*(tensor.to(device, non_blocking=True) for tensor in tensors))


@dataclass(frozen=True, slots=True)
class Locations:
    """The L cells of all levels, finest level first, each level row by row."""

    points: Tensor
    """(L, 2) float32 x, y in network pixels."""
    strides: Tensor
    """(L,) float32."""
    low: Tensor
    """(L,) float32: an object's largest distance must be above this ..."""
    high: Tensor
    """(L,) float32: ... and at most this, in network pixels."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What L locations of one picture should predict."""

    objects: Tensor
    """(L,) int64, index into the picture's objects, or :data:`BACKGROUND`."""
    classes: Tensor
    """(L,) int64, or :data:`BACKGROUND`."""
    distances: Tensor
    """(L, 4) float32 left, top, right, bottom in units of the location's stride; 0 at background."""
    centerness: Tensor
    """(L,) float32 in 0..1; 0 at background."""


def head_locations(
    sizes: Sequence[tuple[int, int]], config: FCOSConfig, device: torch.device | str = "cpu"
) -> Locations:
    """Return the locations of levels of (height, width) cells: cell (y, x) stands for (x, y) * s + s // 2."""
    points: list[Tensor] = []
    strides: list[Tensor] = []
    low: list[Tensor] = []
    high: list[Tensor] = []
    bounds = (-1.0, *map(float, config.sizes_of_interest), float("inf"))
    for level, ((height, width), stride) in enumerate(zip(sizes, config.strides, strict=True)):
        y, x = torch.meshgrid(
            torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
        )
        cells = torch.stack((x.flatten(), y.flatten()), dim=1)
        points.append((cells * stride + stride // 2).float())
        for values, value in ((strides, float(stride)), (low, bounds[level]), (high, bounds[level + 1])):
            values.append(torch.full((height * width,), value, device=device))
    return Locations(torch.cat(points), torch.cat(strides), torch.cat(low), torch.cat(high))


def assign_targets(locations: Locations, truth: GroundTruth, config: FCOSConfig) -> Targets:
    """Give each location at most one object.

    An object is a candidate where the location lies in the square of half-side ``pos_radius`` strides around
    its box's centre, cut to the box (anywhere in the box without centre sampling), and where the largest of
    the four distances lies in the level's range. Of several candidates the one of smallest area wins.
    """
    count = len(truth.boxes)
    if count == 0:
        return _nothing(locations)
    distances = _distances(locations.points, truth.boxes)  # (L, N, 4)
    largest = distances.amax(dim=2)
    in_range = (largest > locations.low[:, None]) & (largest <= locations.high[:, None])
    candidate = _inside(locations, truth.boxes, config) & in_range
    areas = (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(dim=1)
    smallest, objects = torch.where(candidate, areas[None, :], torch.inf).min(dim=1)
    found = torch.isfinite(smallest)
    chosen = distances[torch.arange(len(objects), device=objects.device), objects] * found[:, None]
    return Targets(
        objects=torch.where(found, objects, BACKGROUND),
        classes=torch.where(found, truth.classes[objects], BACKGROUND),
        distances=chosen / locations.strides[:, None],
        centerness=centerness_of(chosen),
    )


def centerness_of(distances: Tensor) -> Tensor:
    """Return sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)) of (..., 4); 0 where a side is 0 long."""
    horizontal, vertical = distances[..., 0::2], distances[..., 1::2]
    ratios = [
        pair.amin(dim=-1).clamp(min=0) / pair.amax(dim=-1).clamp(min=1e-9) for pair in (horizontal, vertical)
    ]
    return torch.sqrt(ratios[0] * ratios[1])


def _distances(points: Tensor, boxes: Tensor) -> Tensor:
    """(L, N, 4): how far each box's left, top, right and bottom lie from each point, in pixels."""
    return torch.cat((points[:, None] - boxes[None, :, :2], boxes[None, :, 2:] - points[:, None]), dim=2)


def _inside(locations: Locations, boxes: Tensor, config: FCOSConfig) -> Tensor:
    """(L, N): whether each location lies strictly in the part of each box that counts."""
    region = boxes[None].expand(len(locations.points), -1, -1)
    if config.center_sample:
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        reach = (locations.strides * config.pos_radius)[:, None, None]
        low = torch.maximum(centres[None] - reach, region[..., :2])
        high = torch.minimum(centres[None] + reach, region[..., 2:])
        region = torch.cat((low, high), dim=2)
    points = locations.points[:, None]
    return ((points > region[..., :2]) & (points < region[..., 2:])).all(dim=2)


def _nothing(locations: Locations) -> Targets:
    count, device = len(locations.points), locations.points.device
    background = torch.full((count,), BACKGROUND, dtype=torch.int64, device=device)
    return Targets(
        objects=background,
        classes=background,
        distances=torch.zeros(count, 4, device=device),
        centerness=torch.zeros(count, device=device),
    )
