"""What opening and closing bundles leaves of a process: its signal handlers still run."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

SCRIPT = """
import gc, signal, sys
import edgeblend

first = edgeblend.Segmenter.load(sys.argv[1])
second = edgeblend.Segmenter.load(sys.argv[1])
first.close()
del first
gc.collect()
second.close()
del second
gc.collect()
kept = [bytearray(70_000) for _ in range(200)]  # takes the place of what was freed
signal.signal(signal.SIGINT, lambda *_: print("handled"))
signal.raise_signal(signal.SIGINT)
"""


def test_signals_are_handled_after_bundles_were_closed_in_another_order(tiny_bundle):
    """With a core of its own for every session this is a segmentation fault."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_bundle.path)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
