"""The example of an engine in somebody else's package, held to the contract that it is an example of."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import cv2
import pytest

import edgeblend
from edgeblend import engine_packages
from edgeblend.errors import EngineError
from edgeblend.testing import EngineContract

PACKAGE = Path(__file__).parents[2] / "examples" / "engine_package"

pytest.importorskip("onnxruntime")  # its bundles are made for it
pytestmark = pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="the example needs OpenCV 5")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if it were: on the path, with the entry points that its pyproject.toml names."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    named = project["entry-points"][engine_packages.ENTRY_POINT_GROUP]
    folder = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    folder.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (folder / "METADATA").write_text(metadata)
    lines = [
        f"[{engine_packages.ENTRY_POINT_GROUP}]",
        *(f"{name} = {value}" for name, value in named.items()),
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.syspath_prepend(str(PACKAGE))
    monkeypatch.delitem(sys.modules, "edgeblend_opencv_dnn", raising=False)


class TestOpenCvDnn(EngineContract):
    engine = "opencv-dnn"

    @pytest.fixture
    def float_bundle(self, tiny_on):
        return tiny_on("onnxruntime")

    @pytest.fixture
    def frame(self, photograph):
        return photograph


def test_it_opens_bundles_that_were_made_for_another_engine(tiny_on, photograph) -> None:
    with edgeblend.Segmenter.load(tiny_on("onnxruntime"), backend="opencv-dnn") as segmenter:
        instances = segmenter(photograph)
        engines = {part.engine for part in segmenter.info.parts.values()}
    assert len(instances) > 0
    assert engines == {f"opencv-dnn {cv2.__version__}"}


def test_it_does_not_open_what_is_in_another_format(tiny_bundle) -> None:
    with pytest.raises(EngineError, match=r"made for 'openvino', not for 'opencv-dnn'"):
        edgeblend.Segmenter.load(tiny_bundle, backend="opencv-dnn")
