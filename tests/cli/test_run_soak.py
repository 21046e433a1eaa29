"""The benchmark that kills ``edgeblend run`` and resumes it, over a few pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgeblend

SCRIPT = Path(edgeblend.__file__).parents[1] / "benchmarks" / "run_soak.py"


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.skipif(not SCRIPT.is_file(), reason="an installed package, without its benchmarks")
def test_a_few_pictures_and_kills(small_bundle, tmp_path):
    command = [sys.executable, str(SCRIPT), "--pictures", "20", "--kills", "2", "--seed", "1"]
    command += ["--bundle", str(small_bundle.path), "--out", str(tmp_path / "soak.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    # Whether memory is flat, which the exit code also says, shows over thousands of pictures only.
    assert done.returncode in (0, 1), done.stderr
    report = json.loads((tmp_path / "soak.json").read_text())
    assert report["same_files_after_all_kills"] is True
    assert [sorted(kill) for kill in report["kills"]] == [["before", "readable", "said"]] * 2
    assert list(report["resident_mb_after_pictures"]) == [str(number) for number in range(2, 21, 2)]
    assert report["last_over_first"] > 0.5
