"""What ONNX Runtime makes of a graph is looked at without a folder to write into."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from edgeblend.errors import EngineError
from edgeblend.runtime.backends.onnxruntime_optimized import optimized_model

NODE = b"\x0a\x01x\x22\x0bQLinearConv"
"""The end of a node: an output, and in field 4 its type of 11 letters."""


@pytest.fixture(params=["memory", "folder"])
def place(request, monkeypatch, tmp_path) -> str:
    if request.param == "folder":
        monkeypatch.delattr(os, "memfd_create", raising=False)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    elif not hasattr(os, "memfd_create"):
        pytest.skip("this system has no files in memory")
    return request.param


@pytest.mark.parametrize(
    ("content", "found"), [(NODE, True), (b"QLinearConv", False), (b"\x22\x04Conv", False), (b"", False)]
)
def test_a_layer_is_found_by_its_type(content, found, place, tmp_path) -> None:
    with optimized_model() as model:
        Path(model.path).write_bytes(content)
        assert model.has_layers(("MatMulInteger", "QLinearConv")) is found
    assert list(tmp_path.iterdir()) == []
    assert not Path(model.path).exists()


def test_without_memory_or_folder_it_is_said_what_is_missing(monkeypatch, tmp_path) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with (
        pytest.raises(EngineError, match="needs a temporary folder .*nowhere.*TMPDIR.*'engine'"),
        optimized_model(),
    ):
        pass


def test_nothing_is_written_where_it_need_not_be(monkeypatch) -> None:
    """A root that cannot be written to, as containers have it."""
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from onnx_graphs import GraphBuilder

    from edgeblend.runtime.backends import onnxruntime as backend

    build = GraphBuilder()
    model = build.build({"x": ("float32", (1, 4))}, {"y": build.node("Relu", "x")}).SerializeToString()
    monkeypatch.setattr(tempfile, "mkdtemp", None)
    taken: list[str] = []
    session = ort.InferenceSession

    def spy(content, settings, **options):
        taken.append(settings.optimized_model_filepath)
        return session(content, settings, **options)

    monkeypatch.setattr(backend.ort, "InferenceSession", spy)
    assert backend.model_session(model).info.precision == "f32"
    assert taken == [""]
    if hasattr(os, "memfd_create"):
        assert backend.model_session(model, quantized=True).info.precision == "f32"
        assert taken[1].startswith("/proc/self/fd/")
