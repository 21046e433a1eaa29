"""What a search leaves of a process: its signal handlers still run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nncf")

SCRIPT = """
import gc, signal, sys
sys.modules["torch"] = None  # which nncf would load
import edgeblend
from small_bundle import frames

recipe = edgeblend.Recipe(name="basis", bias_correction="none", detector="fp32")
try:
    edgeblend.quantize(sys.argv[1], sys.argv[2], calibration=frames(2), recipe=recipe, max_drop=1e-6)
except edgeblend.AccuracyError:
    pass
gc.collect()
kept = [bytearray(70_000) for _ in range(200)]  # takes the place of what was freed
signal.signal(signal.SIGINT, lambda *_: print("handled"))
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.long
def test_signals_are_handled_after_a_search(small_bundle, tmp_path):
    """With a core of its own for every graph that is tried this is a segmentation fault."""
    command = [sys.executable, "-c", SCRIPT, str(small_bundle.path), str(tmp_path / "made")]
    tests = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tests)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
