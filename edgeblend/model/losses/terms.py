"""The losses that BlendMask is trained with, each as a sum or a mean over what it is given.

Sources: focal loss arXiv 1708.02002, equation 5; GIoU arXiv 1902.09630, algorithm 1; centerness
arXiv 1904.01355, equation 3; masks arXiv 2001.00309, section 3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeblend.model.losses.targets import BACKGROUND

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


def focal_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the sum of the sigmoid focal loss.

    Args:
        logits: (P, C) float32.
        classes: (P,) int64; background is all zeros for its location.
    """
    positive = classes != BACKGROUND
    targets = torch.zeros_like(logits)
    targets[positive, classes[positive]] = 1.0
    # Written so that large logits neither overflow nor lose their gradient.
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probabilities = torch.sigmoid(logits)
    miss = probabilities + targets - 2 * probabilities * targets  # 1 - p_t
    alpha = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    return (alpha * miss**FOCAL_GAMMA * cross_entropy).sum()


def box_losses(predicted: Tensor, target: Tensor, kind: str = "giou") -> Tensor:
    """Return (P,) losses between boxes given as distances (P, 4) from the same points.

    One is added to intersection and union in the IoU term, which keeps the logarithm of no overlap finite.

    Args:
        predicted: left, top, right, bottom, not negative, in units of the stride.
        target: the same.
        kind: ``giou``: 1 - GIoU; ``iou``: -log IoU; ``linear_iou``: 1 - IoU.
    """
    sides = torch.minimum(predicted, target)
    intersection = (sides[:, 0] + sides[:, 2]) * (sides[:, 1] + sides[:, 3])
    union = _area(predicted) + _area(target) - intersection
    iou = (intersection + 1) / (union + 1)
    if kind == "iou":
        return -torch.log(iou)
    if kind == "linear_iou":
        return 1 - iou
    enclosing = _area(torch.maximum(predicted, target)).clamp(min=1e-6)
    return 1 - (iou - (enclosing - union) / enclosing)


def _area(distances: Tensor) -> Tensor:
    return (distances[:, 0] + distances[:, 2]) * (distances[:, 1] + distances[:, 3])


def mask_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return (P,): each blended mask's mean binary cross-entropy.

    Args:
        logits: (P, R, R) float32.
        targets: (P, R, R), 0 or 1.
    """
    losses = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")
    return losses.mean(dim=(1, 2))
