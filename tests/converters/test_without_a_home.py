"""Converting and quantizing need no home folder: nothing is told to a service, or noted there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")
pytest.importorskip("torch")

_NOBODY = """
import pwd, sys
def nobody(uid):
    raise KeyError(uid)
pwd.getpwuid = nobody  # as in a container for a user without a name
"""
_QUANTIZE = """
import edgeblend
edgeblend.quantize(sys.argv[1], sys.argv[2], calibration=sys.argv[3])
"""
_CONVERT = """
import torch
from edgeblend.converters.split import SplitGraph
from edgeblend.converters.targets import load_target
from edgeblend.manifest import TensorSpec
from pathlib import Path
spec = TensorSpec(role="bases", level=None, name="bases", layout="NCHW", dtype="float32")
graph = SplitGraph("basis", torch.nn.Conv2d(4, 4, 3).eval(), (spec,), (spec,))
folder = Path(sys.argv[2])
folder.mkdir()
load_target("openvino").export_graph(
    graph, folder, example=(torch.zeros(1, 4, 8, 8),), shapes=((1, 4, 8, 8),), precision="fp32"
)
"""
_SENDER = """
from pathlib import Path
Path(r"{noted}").write_text("sent")
raise RuntimeError("Could not determine home directory.")
"""


def done(work: str, folder: Path, home: Path | None, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Do work in a process without a user's name, and with a sender that leaves a trace."""
    (folder / "openvino_telemetry.py").write_text(_SENDER.format(noted=folder / "noted"))
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "CI")}
    environment["PYTHONPATH"] = str(folder)
    if home is not None:
        environment["HOME"] = str(home)
    command = [sys.executable, "-c", f"{_NOBODY}\n{work}", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(params=["home", "a home that cannot be written", "no home"])
def home(request, tmp_path):
    if request.param == "no home":
        return None
    folder = tmp_path / "home"
    folder.mkdir()
    return folder if request.param == "home" else Path("/proc")


def test_the_sender_would_have_been_noticed(tmp_path):
    """The negative control."""
    assert done("import openvino", tmp_path, None).returncode != 0
    assert (tmp_path / "noted").read_text() == "sent"


def test_a_conversion(home, tmp_path):
    run = done(_CONVERT, tmp_path, home, "", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["basis.bin", "basis.xml"]
    assert not (tmp_path / "noted").exists()
    assert not (tmp_path / "home").exists() or list((tmp_path / "home").iterdir()) == []


def test_quantizing(home, small_bundle, small_pictures, tmp_path):
    pytest.importorskip("nncf")
    run = done(_QUANTIZE, tmp_path, home, small_bundle.path, tmp_path / "out", small_pictures)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert not (tmp_path / "noted").exists()
    assert not (tmp_path / "home").exists() or list((tmp_path / "home").iterdir()) == []
