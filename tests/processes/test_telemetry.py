"""Engines and toolkits neither send what they are used for nor look for a home folder to note it in."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = {
    "openvino": ("edgeblend.runtime.backends.openvino", "edgeblend.converters.openvino.export"),
    "onnxruntime": ("edgeblend.runtime.backends.onnxruntime",),
    "nncf": ("edgeblend.converters.openvino.toolkit", "edgeblend.converters.onnx.toolkit"),
    "ai_edge_litert": ("edgeblend.runtime.backends.tflite",),
}
"""A package and the modules of ours that import it; nncf needs onnx for the second."""

SENDER = """\
from pathlib import Path
Path(r"{noted}").write_text("sent")
raise RuntimeError("Could not determine home directory.")
"""
"""A sender that leaves a trace, and fails as the real one does for a user without a home."""


def imported(code: str, folder: Path) -> str:
    """Run code in a process whose home and sender are in a folder; return what it says on stderr."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (folder / "openvino_telemetry.py").write_text(SENDER.format(noted=folder / "noted"))
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(folder)}
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )
    return "" if done.returncode == 0 else done.stderr


def noted(folder: Path) -> list[str]:
    """Return what was left in the home, and whether something was sent."""
    files = [path for path in (folder / "home").rglob("*") if path.is_file()]
    return sorted(path.name for path in [*files, folder / "noted"] if path.exists())


@pytest.mark.parametrize(("package", "module"), [(key, name) for key in MODULES for name in MODULES[key]])
def test_nothing_is_sent_and_nothing_is_noted(package, module, tmp_path) -> None:
    if importlib.util.find_spec(package) is None or (
        module.endswith("onnx_qdq") and importlib.util.find_spec("onnx") is None
    ):
        pytest.skip(f"{package} is not installed")
    assert imported(f"import {module}", tmp_path) == ""
    assert noted(tmp_path) == []


def test_the_sender_would_have_been_noticed(tmp_path) -> None:
    pytest.importorskip("openvino")
    assert "Could not determine home directory" in imported("import openvino", tmp_path)
    assert noted(tmp_path) == ["noted"]


def test_what_an_application_decided_stays(tmp_path) -> None:
    code = """
import os, sys, types
os.environ["ORT_DISABLE_TELEMETRY"] = "0"
sys.modules["openvino_telemetry"] = mine = types.ModuleType("openvino_telemetry")
import edgeblend.runtime.backends
assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
assert sys.modules["openvino_telemetry"] is mine
"""
    assert imported(code, tmp_path) == ""
