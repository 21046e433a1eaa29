import signal

import pytest

from edgeblend.calibration import fresh_process
from edgeblend.calibration.fresh_process import run_fresh
from edgeblend.errors import EngineError


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Put a shell script in Python's place."""

    def write(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(fresh_process.sys, "executable", str(path))

    return write


def test_the_last_line_counts(interpreter, tmp_path):
    interpreter('echo chatter; echo "$@"')
    assert run_fresh("a.module", ["--one", "two"], bundle=tmp_path) == "-m a.module --one two"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -SEGV $$", "r50: running it ends the process with SIGSEGV"),
        ("echo first >&2; echo only this >&2; exit 3", "^only this$"),
        ("exit 3", "^exit code 3$"),
    ],
)
def test_a_process_that_dies(interpreter, script, words, tmp_path):
    interpreter(script)
    with pytest.raises(EngineError, match=words):
        run_fresh("a.module", [], bundle=tmp_path / "r50")


def test_an_unknown_signal_has_its_number():
    assert fresh_process._signal_name(signal.SIGKILL) == "SIGKILL"
    assert fresh_process._signal_name(99) == "signal 99"
