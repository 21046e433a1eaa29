"""From the network and a batch of labelled pictures to the losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeblend.model.backbones.freeze import freeze_backbone
from edgeblend.model.blend import blend, gather_attention, roi_align
from edgeblend.model.blendmask import BlendMask
from edgeblend.model.config import BASIS_STRIDE
from edgeblend.model.fcos import HeadOutput
from edgeblend.model.layers import conv_batch_norm_relu
from edgeblend.model.losses.targets import BACKGROUND, GroundTruth, Targets, assign_targets, head_locations
from edgeblend.model.losses.terms import box_losses, focal_loss, mask_losses

SEMANTIC_STRIDE = 8
"""Of the auxiliary head's output: it reads P3."""


class TrainingNetwork(nn.Module):
    """A network with the auxiliary head that only training has; calling it gives the losses."""

    def __init__(self, network: BlendMask) -> None:
        super().__init__()
        self.network = network
        config = network.config
        freeze_backbone(network)
        self.seg_head = (
            semantic_auxiliary(
                config.fpn.out_channels, config.basis.convs_dim, config.basis.num_semantic_classes
            )
            if config.basis.loss_on
            else None
        )

    def train(self, mode: bool = True) -> TrainingNetwork:
        """Switch to training, except what the config leaves as it is."""
        super().train(mode)
        freeze_backbone(self.network)
        return self

    def forward(self, images_bgr: Tensor, truths: Sequence[GroundTruth]) -> dict[str, Tensor]:
        """Return the weighted losses by name; their sum is what training minimises.

        Args:
            images_bgr: (B, H, W, 3) uint8, H and W multiples of 32.
            truths: one a picture, in the coordinates of ``images_bgr``.

        Returns:
            Scalars ``cls``, ``box``, ``centerness``, ``mask`` and, where the config has it, ``semantic``.
        """
        network, config = self.network, self.network.config
        pyramid = network.pyramid(network.normalize(images_bgr))
        outputs = network.head(pyramid)
        bases = network.basis([pyramid[name] for name in config.basis.in_features])
        losses = self._instance_losses(outputs, bases, truths)
        if self.seg_head is not None:
            logits = self.seg_head(pyramid[config.basis.in_features[0]])
            semantic = torch.stack([truth.semantic for truth in truths])
            losses["semantic"] = config.basis.loss_weight * F.cross_entropy(logits.float(), semantic)
        return losses

    def _instance_losses(
        self, outputs: Sequence[HeadOutput], bases: Tensor, truths: Sequence[GroundTruth]
    ) -> dict[str, Tensor]:
        fcos = self.network.config.fcos
        sizes = [(out.cls_logits.shape[-2], out.cls_logits.shape[-1]) for out in outputs]
        locations = head_locations(sizes, fcos, bases.device)
        targets = _stack([assign_targets(locations, truth, fcos) for truth in truths])
        positive = targets.classes != BACKGROUND  # (B, L)
        count = positive.sum().clamp(min=1)
        weights = targets.centerness[positive]  # (P,)
        total = weights.sum().clamp(min=1e-6)
        cls_logits = _flatten([out.cls_logits for out in outputs])  # (B, L, C)
        box_reg = _flatten([out.box_reg for out in outputs])[positive]
        centerness = _flatten([out.centerness for out in outputs])[positive].squeeze(1)
        boxes = box_losses(box_reg, targets.distances[positive], fcos.loc_loss_type)
        masks = self._mask_losses(outputs, bases, truths, targets, positive)
        return {
            "cls": focal_loss(cls_logits.flatten(0, 1), targets.classes.flatten()) / count,
            "box": (boxes * weights).sum() / total,
            "centerness": F.binary_cross_entropy_with_logits(centerness, weights, reduction="sum") / count,
            "mask": (masks * weights).sum() / total,
        }

    def _mask_losses(
        self,
        outputs: Sequence[HeadOutput],
        bases: Tensor,
        truths: Sequence[GroundTruth],
        targets: Targets,
        positive: Tensor,
    ) -> Tensor:
        """(P,): every positive location's blend against its object; ground-truth boxes are the proposals."""
        config = self.network.config
        pictures, cells = positive.nonzero(as_tuple=True)
        first = torch.tensor([0, *(len(truth.boxes) for truth in truths)]).cumsum(0)[:-1].to(bases.device)
        objects = targets.objects[positive] + first[pictures]  # (P,) over the whole batch
        crops = torch.cat(
            [
                roi_align(basis.float(), truth.boxes, stride=BASIS_STRIDE, size=config.blend.mask_size)
                for basis, truth in zip(bases, truths, strict=True)
            ]
        )
        features = [out.attention_features for out in outputs]
        attention = gather_attention(self.network.top_layer, features, pictures, cells).float()
        logits = blend(crops[objects], attention, interpolation=config.blend.attention_interpolation)
        masks = torch.cat([truth.masks for truth in truths])
        return mask_losses(logits, masks[objects])


def semantic_auxiliary(channels: int, dim: int, num_classes: int) -> nn.Sequential:
    """Return the head on P3 that tells what is where: its parameters are ``basis_module.seg_head.*``."""
    return nn.Sequential(
        *conv_batch_norm_relu(channels, dim),
        *conv_batch_norm_relu(dim, dim),
        nn.Conv2d(dim, num_classes + 1, 1),
    )


def _flatten(levels: Sequence[Tensor]) -> Tensor:
    """(B, C, h, w) of every level to float32 (B, L, C), in the order of the locations."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1).float()


def _stack(targets: Sequence[Targets]) -> Targets:
    """Those of B pictures, with a leading dimension B."""
    return Targets(
        objects=torch.stack([t.objects for t in targets]),
        classes=torch.stack([t.classes for t in targets]),
        distances=torch.stack([t.distances for t in targets]),
        centerness=torch.stack([t.centerness for t in targets]),
    )
