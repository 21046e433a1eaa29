"""Post-processing in torch alone, to be compared with: batched, no loop over detections.

What an engineer who knows torch writes from the paper (arXiv 2001.00309): all probabilities, a threshold,
non-maximum suppression over an IoU matrix, RoIAlign as ``grid_sample``, blending, pasting as ``grid_sample``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeblend.spec import BlendSpec, DecodeSpec


class Heads(NamedTuple):
    """One level's head outputs, without a batch axis."""

    cls_logits: Tensor
    box_reg: Tensor
    centerness: Tensor


class Found(NamedTuple):
    """Detections by descending score."""

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    levels: Tensor
    rows: Tensor
    columns: Tensor


def decode(levels: Sequence[Heads], spec: DecodeSpec) -> Found:
    """Return what scores above the threshold and is not suppressed."""
    parts = [_decode_level(heads, index, spec) for index, heads in enumerate(levels)]
    found = Found(*(torch.cat(field) for field in zip(*parts, strict=True)))
    order = found.scores.argsort(descending=True, stable=True)
    ranked = Found(*(field[order] for field in found))
    kept = _nms(ranked.boxes, ranked.classes, spec.nms_threshold)[: spec.max_detections]
    return Found(*(field[kept] for field in ranked))


def _decode_level(heads: Heads, index: int, spec: DecodeSpec) -> Found:
    stride = spec.levels[index].stride
    products = heads.cls_logits.sigmoid() * heads.centerness.sigmoid()
    classes, rows, columns = (products > spec.score_threshold).nonzero(as_tuple=True)
    scores = products[classes, rows, columns]
    if len(scores) > spec.pre_nms_top_k:
        scores, best = scores.topk(spec.pre_nms_top_k)
        classes, rows, columns = classes[best], rows[best], columns[best]
    distances = heads.box_reg[:, rows, columns].T * stride
    centres = torch.stack([columns, rows], dim=1) * stride + stride // 2
    boxes = torch.cat([centres - distances[:, :2], centres + distances[:, 2:]], dim=1)
    return Found(boxes, scores.sqrt(), classes, torch.full_like(classes, index), rows, columns)


def _nms(boxes: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes that stand, of boxes by descending score.

    Greedy suppression is the one fixed point of "a box stands unless a better one that stands overlaps it",
    and repeating that gets there in as many rounds as the longest chain of suppressions.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    sides = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    sides -= torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    shared = sides.clamp_(min=0).prod(dim=2)
    overlaps = shared > threshold * (areas[:, None] + areas - shared)
    overlaps &= classes[:, None] == classes
    overlaps.triu_(diagonal=1)
    stands = torch.ones(len(boxes), dtype=torch.bool)
    while True:
        now = ~(overlaps & stands[:, None]).any(dim=0)
        if torch.equal(now, stands):
            return stands.nonzero()[:, 0]
        stands = now


def read_attention(maps: Sequence[Tensor], found: Found, spec: BlendSpec) -> Tensor:
    """Return (N, K, M, M) of maps that were computed everywhere."""
    attention = torch.empty(len(found.scores), maps[0].shape[0])
    for index, level_map in enumerate(maps):
        here = found.levels == index
        attention[here] = level_map[:, found.rows[here], found.columns[here]].T
    return attention.view(-1, spec.num_bases, spec.attention_size, spec.attention_size)


def gather_attention(
    features: Sequence[Tensor], found: Found, weight: Tensor, bias: Tensor, spec: BlendSpec
) -> Tensor:
    """Return (N, K, M, M): the 3x3 attention layer at the detections alone, as one matrix product."""
    patches = torch.empty(len(found.scores), len(weight))
    taps = torch.arange(3)
    for index, feature in enumerate(features):
        here = found.levels == index
        padded = F.pad(feature, (1, 1, 1, 1))
        rows, columns = found.rows[here, None] + taps, found.columns[here, None] + taps
        around = padded[:, rows[:, :, None], columns[:, None, :]]  # (C, n, 3, 3)
        patches[here] = around.permute(1, 2, 3, 0).flatten(1)
    attention = torch.addmm(bias, patches, weight)
    return attention.view(-1, spec.num_bases, spec.attention_size, spec.attention_size)


def roi_align(bases: Tensor, boxes: Tensor, spec: BlendSpec) -> Tensor:
    """Return (N, K, R, R): one sample a bin, aligned."""
    size, (_, height, width) = spec.mask_size, bases.shape
    steps = (torch.arange(size) + 0.5) / size
    x = (boxes[:, 0:1] + steps * (boxes[:, 2:3] - boxes[:, 0:1])) / spec.basis_stride - 0.5
    y = (boxes[:, 1:2] + steps * (boxes[:, 3:4] - boxes[:, 1:2])) / spec.basis_stride - 0.5
    grid = _grid((x + 0.5) * (2 / width) - 1, (y + 0.5) * (2 / height) - 1)
    shared = bases.expand(len(boxes), -1, -1, -1)
    rois = F.grid_sample(shared, grid, padding_mode="border", align_corners=False)
    inside = ((y >= -1) & (y <= height))[:, None, :, None] & ((x >= -1) & (x <= width))[:, None, None, :]
    return rois.mul_(inside)


def blend(rois: Tensor, attention: Tensor, spec: BlendSpec) -> Tensor:
    """Return (N, R, R) probabilities."""
    grown = F.interpolate(attention, size=spec.mask_size, mode="bilinear", align_corners=False)
    return grown.softmax(dim=1).mul_(rois).sum(dim=1).sigmoid_()


def paste_masks(probs: Tensor, boxes: Tensor, frame_size: tuple[int, int]) -> Tensor:
    """Return (N, H, W) bool: probabilities sampled at all pixels of the frame, and thresholded."""
    # 32 at a time, or the grids of 300 would take a gigabyte.
    starts = range(0, len(probs), 32)
    return torch.cat([_paste(probs[at : at + 32], boxes[at : at + 32], frame_size) for at in starts])


def _paste(probs: Tensor, boxes: Tensor, frame_size: tuple[int, int]) -> Tensor:
    height, width = frame_size
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    corner, sides = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    x = (x - corner[:, 0:1]) / sides[:, 0:1] * 2 - 1
    y = (y - corner[:, 1:2]) / sides[:, 1:2] * 2 - 1
    return F.grid_sample(probs[:, None], _grid(x, y), align_corners=False)[:, 0] >= 0.5


def paste_masks_by_box(probs: Tensor, boxes: Tensor, frame_size: tuple[int, int]) -> Tensor:
    """Return what ``paste_masks`` does, sampling for each mask only the pixels that its box reaches."""
    height, width = frame_size
    masks = torch.zeros(len(probs), height, width, dtype=torch.bool)
    lows = (boxes[:, :2].floor() - 1 - (boxes[:, 2:] - boxes[:, :2]) / probs.shape[-1]).clamp(min=0).long()
    highs = (boxes[:, 2:].ceil() + 1 + (boxes[:, 2:] - boxes[:, :2]) / probs.shape[-1]).long()
    for mask, prob, box, low, high in zip(masks, probs, boxes, lows.tolist(), highs.tolist(), strict=True):
        (left, top), (right, bottom) = low, (min(high[0], width), min(high[1], height))
        x, y = torch.arange(left, right) + 0.5, torch.arange(top, bottom) + 0.5
        x = (x - box[0]) / (box[2] - box[0]) * 2 - 1
        y = (y - box[1]) / (box[3] - box[1]) * 2 - 1
        sampled = F.grid_sample(prob[None, None], _grid(x[None], y[None]), align_corners=False)
        mask[top:bottom, left:right] = sampled[0, 0] >= 0.5
    return masks


def _grid(x: Tensor, y: Tensor) -> Tensor:
    """(N, h, w, 2) of columns (N, w) and rows (N, h)."""
    count, height, width = len(x), y.shape[1], x.shape[1]
    return torch.stack(
        [x[:, None].expand(count, height, width), y[:, :, None].expand(count, height, width)], dim=-1
    )
