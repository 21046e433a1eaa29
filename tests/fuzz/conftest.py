"""What the fuzzer's own tests need of a system: processes that are forked, limited and watched."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "linux":
    for package in ("torch", "openvino", "onnxruntime", "onnx", "ai_edge_litert"):
        pytest.importorskip(package)
else:
    collect_ignore_glob = ["test_*.py"]
