"""Configs: YAML files that are based on each other."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import yaml
from tiny_model import TINY_YAML

from edgeblend.errors import ConfigError
from edgeblend.model.config import blend_spec, decode_spec, load_config, panoptic_spec

from ..mutate_text import as_yaml, mutate_yaml
from .kind import Kind, expect

_BASES = (
    *(
        "base.yaml",
        "config.yaml",
        "./base.yaml",
        "missing.yaml",
        ".",
        "/",
        "~",
        "~/base.yaml",
        "~nobody/x",
        "sub",
    ),
    *(
        "x" * 300,
        "x/" * 3000,
        "http://127.0.0.1/base.yaml",
        "a\0b",
        "C:\\base.yaml",
        "loop.yaml",
        "/dev/null",
        "",
    ),
)
_OWN = {
    "_BASE_": "base.yaml",
    "MODEL": {
        "WEIGHTS": "model.pth",
        "PIXEL_MEAN": [103.53, 116.28, 123.675],
        "DLA": {"CONV_BODY": "DLA34", "NORM": "FrozenBN"},
        "FCOS": {
            "NUM_CLASSES": 2,
            "NORM": "GN",
            "INFERENCE_TH_TEST": 0.05,
            "NMS_TH": 0.6,
            "POST_NMS_TOPK_TEST": 100,
        },
        "BLENDMASK": {"BOTTOM_RESOLUTION": 56, "ATTN_SIZE": 14, "TOP_INTERP": "bilinear"},
        "BASIS_MODULE": {"NUM_BASES": 4, "LOSS_ON": True},
    },
    "INPUT": {"MIN_SIZE_TEST": 160, "MASK_FORMAT": "bitmask"},
    "SOLVER": {"BASE_LR": 0.01, "STEPS": [60000, 80000]},
}


_BASE: dict[str, Any] = yaml.safe_load(TINY_YAML)


def _write(folder: Path) -> None:
    (folder / "base.yaml").write_bytes(as_yaml(_BASE, Random(0)))
    (folder / "config.yaml").write_bytes(as_yaml(_OWN, Random(1)))


def _make(random: Random, folder: Path) -> None:
    """Mutate one of the two files; or what the one says is its base."""
    _write(folder)
    change = random.choices(("config", "base", "_BASE_"), (60, 25, 15))[0]
    if change == "_BASE_":
        base: object = random.choice(_BASES)
        if random.random() < 0.2:
            base = random.choice((None, 1, True, [], ["base.yaml"], {}, 1.5))
        (folder / "loop.yaml").write_bytes(as_yaml({"_BASE_": "config.yaml"}, random))
        (folder / "config.yaml").write_bytes(as_yaml({**_OWN, "_BASE_": base}, random))
    elif change == "base":
        (folder / "base.yaml").write_bytes(mutate_yaml(_BASE, random))
    else:
        (folder / "config.yaml").write_bytes(mutate_yaml(_OWN, random))


def _run(folder: Path) -> None:
    config = load_config(folder / "config.yaml")
    decode, blend = decode_spec(config), blend_spec(config)
    panoptic_spec(config)
    expect(decode.num_classes > 0 and decode.max_detections > 0, "a config without classes or detections")
    expect(0 <= decode.score_threshold <= 1 and 0 <= decode.nms_threshold <= 1, "a threshold that is none")
    expect(
        all(level.stride > 0 for level in decode.levels) and len(decode.levels) > 0, "a config without levels"
    )
    expect(blend.num_bases > 0 and blend.attention_size > 0 and blend.mask_size > 0, "a config without masks")


KINDS = (Kind("config", _make, _run, (ConfigError,), _write, share=10),)
