"""edgeblend's contract for engines, and what is OpenCV's own; the package has to be installed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.errors import EngineError
from edgeblend.testing import EngineContract

DEMO = Path(str(files("edgeblend.demo_data")))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The demo model in ONNX."""
    return edgeblend.convert(
        DEMO / "model.safetensors",
        tmp_path_factory.mktemp("demo") / "onnx",
        config=DEMO / "config.yaml",
        class_names=DEMO / "classes.txt",
        target="onnxruntime",
    )


class TestOpenCvDnn(EngineContract):
    """More than twenty tests, for the price of two fixtures."""

    engine = "opencv-dnn"

    @pytest.fixture
    def float_bundle(self, demo: Bundle) -> Bundle:
        """The bundle that every test opens."""
        return demo

    @pytest.fixture
    def frame(self) -> NDArray[np.uint8]:
        """A picture with objects in it."""
        return cv2.imread(str(sorted((DEMO / "val").glob("*.jpg"))[0]))


def test_it_finds_what_onnx_runtime_finds(demo: Bundle) -> None:
    """Another engine, the same detections."""
    frame = cv2.imread(str(sorted((DEMO / "val").glob("*.jpg"))[0]))
    with edgeblend.Segmenter.load(demo) as one, edgeblend.Segmenter.load(demo, backend="opencv-dnn") as other:
        expected, found = one(frame), other(frame)
    np.testing.assert_array_equal(found.classes, expected.classes)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.05)


def test_properties_are_refused(demo: Bundle) -> None:
    """What an engine cannot honour is an error."""
    with pytest.raises(EngineError, match="no properties, got winograd"):
        edgeblend.Segmenter.load(demo, backend="opencv-dnn", properties={"winograd": "no"})
