"""Processes of our own: nothing of the current folder runs in them, and none is left behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from edgeblend.processes import child_process
from edgeblend.processes.child_process import run_module

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shell scripts and process groups")


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Put a shell script in Python's place."""

    def write(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(child_process.sys, "executable", str(path))

    return write


@pytest.mark.parametrize("shadowed", ["argparse", "json", "numpy", "edgeblend"])
@pytest.mark.parametrize("cwd", [None, "there"])
def test_a_module_of_the_current_folder_does_not_run(shadowed, cwd, tmp_path, monkeypatch):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / f"{shadowed}.py").write_text("open('EXECUTED', 'w').close()\nraise SystemExit('ran')\n")
    monkeypatch.chdir(tmp_path if cwd else folder)
    done = run_module("edgeblend.calibration.measuring.peak_memory", ["--help"], cwd=folder if cwd else None)
    assert (done.returncode, done.stdout[:6]) == (0, "usage:"), done.stderr
    assert not (folder / "EXECUTED").exists()


def test_it_is_this_python_with_the_arguments(interpreter, tmp_path):
    interpreter('echo "$@"; pwd; echo problem >&2; exit 3')
    done = run_module("a.module", ["--one", "two"], cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout.splitlines() == ["-P -m a.module --one two", str(tmp_path)]
    assert done.stderr == "problem\n"


def test_bytes_that_are_no_text_are_shown(interpreter):
    interpreter(r"printf 'caf\351'")
    assert run_module("a.module", []).stdout == r"caf\xe9"


def test_its_text_is_utf8_whatever_the_locale(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    (tmp_path / "says.py").write_text("print('caf\u00e9')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run_module("says", []).stdout == "caf\u00e9\n"


def alive(pid: int) -> bool:
    """Whether a process runs; what has ended and waits to be looked at does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_after_the_time_limit_all_that_it_started_ends(interpreter, tmp_path):
    interpreter(f"sleep 600 & echo $! > {tmp_path}/pid; echo $$ >> {tmp_path}/pid; wait")
    with pytest.raises(TimeoutError, match="did not end within 0.5 seconds, and was stopped"):
        run_module("a.module", [], time_limit_s=0.5)
    pids = [int(line) for line in (tmp_path / "pid").read_text().split()]
    assert [pid for pid in pids if alive(pid)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_interruption_ends_it(interpreter, tmp_path):
    interpreter(f"echo $$ > {tmp_path}/pid; kill -INT {os.getpid()}; sleep 600")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_module("a.module", [])
    finally:
        signal.signal(signal.SIGINT, before)
    assert not alive(int((tmp_path / "pid").read_text()))
