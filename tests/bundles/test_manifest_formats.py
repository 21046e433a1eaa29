"""Targets, formats and files that do not belong together, and those of other packages."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from bundle_factory import write_tiny_bundle

from edgeblend import engine_packages
from edgeblend.errors import BundleError
from edgeblend.manifest import MANIFEST_NAME, decode_manifest


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Any]:
    return json.loads((write_tiny_bundle(tmp_path / "tiny") / MANIFEST_NAME).read_text())


def with_graphs(good: dict[str, Any], target: str, format: str) -> bytes:
    graphs = {part: {**graph, "format": format} for part, graph in good["graphs"].items()}
    return json.dumps({**good, "target": target, "graphs": graphs}).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        decode_manifest(data, source="m")
    return str(caught.value)


def register(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    entry = EntryPoint(name, "nobody_imports_it", engine_packages.ENTRY_POINT_GROUP)
    monkeypatch.setattr(engine_packages, "entry_points", lambda group: [entry])


def test_a_target_takes_its_own_format(good: dict[str, Any]) -> None:
    assert "the detector graph is 'onnx'; the target 'openvino' takes 'openvino-ir'" in refusal(
        with_graphs(good, "openvino", "onnx")
    )


def test_a_format_of_ours_is_for_our_target(good: dict[str, Any]) -> None:
    message = refusal(with_graphs(good, "openvinp", "openvino-ir"))
    assert (
        "is 'openvino-ir', which is for 'openvino'; no engine that is installed is called 'openvinp'"
        in message
    )


def test_another_package_may_take_a_format_of_ours(
    good: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "mine")
    assert decode_manifest(with_graphs(good, "mine", "openvino-ir"), source="m").target == "mine"


def test_a_target_and_a_format_of_another_package_can_be_read_without_it(good: dict[str, Any]) -> None:
    assert decode_manifest(with_graphs(good, "mine", "mine-too"), source="m").target == "mine"


def test_what_an_engine_opens_comes_first(good: dict[str, Any]) -> None:
    good["graphs"]["basis"]["files"].reverse()
    assert "the basis graph lists basis.bin, basis.xml; expected .xml and then .bin" in refusal(
        json.dumps(good).encode()
    )


def test_figures_are_of_outputs_that_there_are(good: dict[str, Any]) -> None:
    figure = good["verification"]["tensors"][0]
    good["verification"]["tensors"] = [figure, figure, {**figure, "tensor": "nobody"}]
    message = refusal(json.dumps(good).encode())
    assert "verification names 'nobody', which is no output of the basis graph" in message
    assert "verification has the basis output bases twice" in message
