"""Golden networks and their bundles; each is converted once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from golden import golden_weights, load_golden

import edgeblend
from edgeblend.bundle import Bundle


@pytest.fixture(scope="session")
def golden_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from config to a ``.pth`` with the golden file's weights."""
    folder = tmp_path_factory.mktemp("checkpoints")

    @cache
    def write(config: str) -> Path:
        state = golden_weights(config, load_golden(config))
        path = folder / f"{config.replace('/', '_')}.pth"
        torch.save({"model": {name: torch.from_numpy(value) for name, value in state.items()}}, path)
        return path

    return write


@pytest.fixture(scope="session")
def golden_bundle(
    golden_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Bundle]:
    """A function from config and options to a bundle whose canvas is the golden picture's size."""
    folder = tmp_path_factory.mktemp("bundles")

    @cache
    def convert(config: str, **options: str | bool) -> Bundle:
        size = load_golden(config)["image_bgr"].shape[:2]
        name = "-".join([config.replace("/", "_"), *(f"{key}={value}" for key, value in options.items())])
        canvas = {} if options.get("dynamic") else {"input_size": size}
        return edgeblend.convert(golden_checkpoint(config), folder / name, config=config, **canvas, **options)

    return convert
