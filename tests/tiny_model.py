"""A model that converts in a few seconds: a DLA-34 with a head and bases of 32 channels, 3 classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

TINY_YAML = """\
MODEL:
  META_ARCHITECTURE: BlendMask
  BACKBONE: {NAME: build_fcos_dla_fpn_backbone}
  FPN: {IN_FEATURES: [level3, level4, level5], OUT_CHANNELS: 32}
  FCOS:
    TOP_LEVELS: 0
    IN_FEATURES: [p3, p4, p5]
    FPN_STRIDES: [8, 16, 32]
    NUM_CLASSES: 3
    NUM_CLS_CONVS: 0
    NUM_BOX_CONVS: 0
    NUM_SHARE_CONVS: 1
    USE_SCALE: False
    THRESH_WITH_CTR: True
  BASIS_MODULE: {CONVS_DIM: 32, NUM_CONVS: 1}
INPUT: {MIN_SIZE_TEST: 160, MAX_SIZE_TEST: 224}
"""
CLASS_NAMES = ("cup", "spoon", "table")


@dataclass(frozen=True, slots=True)
class TinyModel:
    config: Path
    checkpoint: Path
    state: dict[str, np.ndarray]


def write_tiny_model(folder: Path) -> TinyModel:
    """Write its YAML and a checkpoint with stand-in weights that find a few instances."""
    import torch

    from edgeblend.model.blendmask import expected_shapes
    from edgeblend.model.checkpoints.stand_in import synthetic_state_dict
    from edgeblend.model.config import load_config

    config, checkpoint = folder / "tiny.yaml", folder / "tiny.pth"
    config.write_text(TINY_YAML)
    state = synthetic_state_dict(expected_shapes(load_config(config)), 3)
    state["proposal_generator.fcos_head.cls_logits.bias"] += np.float32(0.5)
    torch.save({"model": {name: torch.from_numpy(value) for name, value in state.items()}}, checkpoint)
    return TinyModel(config, checkpoint, state)
