"""Puts this folder on the import path, so that tests in subfolders find the modules beside this file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_model import CLASS_NAMES, TinyModel, write_tiny_model

import edgeblend
from edgeblend.bundle import Bundle


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Its YAML, its checkpoint and its weights; tests must not change them."""
    pytest.importorskip("torch")
    return write_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def tiny_bundle(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny model on OpenVINO; tests must not change it."""
    out = tmp_path_factory.mktemp("tiny-bundle") / "tiny"
    return edgeblend.convert(tiny_model.checkpoint, out, config=tiny_model.config, class_names=CLASS_NAMES)


@pytest.fixture(scope="session")
def photograph() -> NDArray[np.uint8]:
    """The (400, 600, 3) BGR picture that conversions are verified with."""
    data = files("edgeblend.converters").joinpath("data/coffee.jpg").read_bytes()
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
