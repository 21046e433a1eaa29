"""A Lite0 network small enough to train within a test, and objects to train it on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from edgeblend.model.blendmask import build_network
from edgeblend.model.config import load_config
from edgeblend.model.config_files.schema import FCOSConfig, ModelConfig
from edgeblend.model.losses.criterion import TrainingNetwork
from edgeblend.model.losses.targets import GroundTruth

CLASSES = 3


def fcos_config(*strides: int, sizes: Sequence[int] = (), **changes: object) -> FCOSConfig:
    """A head on levels of these strides; ``sizes`` are the bounds between them."""
    names = tuple(f"p{stride.bit_length() - 1}" for stride in strides)
    return dataclasses.replace(
        load_config("Lite0_320").fcos,
        in_features=names,
        strides=strides,
        sizes_of_interest=tuple(sizes),
        **changes,
    )


def tiny_config(*, classes: int = CLASSES, norm: str = "FrozenBN", freeze_at: int = 2) -> ModelConfig:
    """Lite0_320 with a head and bases of 32 channels, attention 4 x 4 and masks 8 x 8."""
    config = load_config("Lite0_320")
    return dataclasses.replace(
        config,
        name="tiny",
        backbone=dataclasses.replace(config.backbone, norm=norm, freeze_at=freeze_at),
        fpn=dataclasses.replace(config.fpn, out_channels=32),
        fcos=dataclasses.replace(config.fcos, num_classes=classes, num_share_convs=1),
        basis=dataclasses.replace(config.basis, convs_dim=32, num_semantic_classes=classes),
        blend=dataclasses.replace(config.blend, attention_size=4, mask_size=8),
    )


def tiny_training(config: ModelConfig | None = None, *, seed: int = 0) -> TrainingNetwork:
    """The network of :func:`tiny_config` with random weights, in training mode."""
    torch.manual_seed(seed)
    return TrainingNetwork(build_network(tiny_config() if config is None else config)).train()


def truth(
    boxes: Sequence[Sequence[float]] = (),
    classes: Sequence[int] | None = None,
    *,
    masks: torch.Tensor | None = None,
    size: tuple[int, int] = (64, 64),
    mask_size: int = 8,
) -> GroundTruth:
    """Objects in a picture of ``size``; masks that are not given fill their boxes.

    In the semantic map an object covers the cells whose location lies in its box, later over earlier objects.
    """
    count = len(boxes)
    found = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor([0] * count if classes is None else classes, dtype=torch.int64)
    height, width = size
    y, x = torch.meshgrid(torch.arange(4, height, 8), torch.arange(4, width, 8), indexing="ij")
    semantic = torch.zeros(height // 8, width // 8, dtype=torch.int64)
    for (left, top, right, bottom), label in zip(found.tolist(), labels.tolist(), strict=True):
        semantic[(x > left) & (x < right) & (y > top) & (y < bottom)] = 1 + label
    if masks is None:
        masks = torch.ones(count, mask_size, mask_size, dtype=torch.uint8)
    return GroundTruth(found, labels, masks, semantic)
