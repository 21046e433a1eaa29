import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from edgeblend.calibration.measuring.peak_memory import main, measure_peak_memory, peak_resident_bytes
from edgeblend.errors import BundleError, EngineError
from edgeblend.processes import child_process

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it does not tell")


@pytest.fixture
def picture(tmp_path, photograph):
    path = tmp_path / "-coffee.png"  # no option, though it looks like one
    cv2.imwrite(str(path), photograph)
    return path


def test_what_a_process_held_at_most_is_seen():
    code = (
        "from edgeblend.calibration.measuring.peak_memory import peak_resident_bytes as peak\n{}print(peak())"
    )
    filled = "held = bytearray(b'x') * 200_000_000\ndel held\n"
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", code.format(more)], text=True))
        for more in ("", filled)
    ]
    assert 190e6 < peaks[1] - peaks[0] < 230e6


def test_it_is_that_of_another_process(tiny_bundle, picture):
    alone = measure_peak_memory(tiny_bundle.path, [picture])
    held = np.ones(80_000_000)  # 640 MB
    beside = measure_peak_memory(tiny_bundle.path, [picture], threads=1)
    assert peak_resident_bytes() > held.nbytes
    assert 30e6 < alone < 600e6
    assert beside < 600e6


def test_its_last_words_are_the_reason(tmp_path, picture):
    (tmp_path / "bundle").mkdir()
    with pytest.raises(BundleError, match="not a bundle: it has no manifest.json"):
        measure_peak_memory(tmp_path / "bundle", [picture])


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -SEGV $$", "ends the process with SIGSEGV"),
        ("echo only this >&2; exit 3", "only this"),
        ("exit 3", "exit code 3"),
    ],
)
def test_a_process_that_dies(script, words, tmp_path, picture, monkeypatch):
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\n{script}\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(child_process.sys, "executable", str(interpreter))
    with pytest.raises(EngineError, match=words):
        measure_peak_memory(tmp_path, [picture])


def test_the_number_comes_last(tiny_bundle, picture, capsys):
    assert main([str(tiny_bundle.path), f"./{os.path.relpath(picture)}"]) == 0
    mark, number = capsys.readouterr().out.strip().split(": ")
    assert (mark, int(number)) == ("edgeblend answers", peak_resident_bytes())
