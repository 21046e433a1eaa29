import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgeblend.calibration.measuring import fresh_process
from edgeblend.calibration.measuring.fresh_process import run_fresh
from edgeblend.errors import BundleError, EngineError, InputError, OutputError
from edgeblend.files.temporary import PREFIX
from edgeblend.processes import child_process


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Put a shell script in Python's place."""

    def write(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(child_process.sys, "executable", str(path))

    return write


def test_the_answer_counts_and_not_what_an_engine_prints(interpreter, tmp_path):
    interpreter('printf "half a line"; echo; echo "edgeblend answers: $@"; printf "\\351"; echo goodbye')
    told = run_fresh("a.module", ["--one", "two"], bundle=tmp_path)
    assert told == f"-P -m a.module --parent {os.getpid()} --one two"


def test_an_answer_is_one_line_of_its_own(capsys):
    print("half a line", end="")
    fresh_process.answer("42")
    assert capsys.readouterr().out == "half a line\nedgeblend answers: 42\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -SEGV $$", "r50: running it ends the process with SIGSEGV"),
        (
            "echo first >&2; echo only this >&2; exit 3",
            "r50: running it in a process of its own fails: only this$",
        ),
        ("exit 3", "r50: running it in a process of its own fails: exit code 3$"),
        ("exit 0", "r50: running it ends the process without a result"),
        ("echo 17", "r50: running it ends the process without a result"),
    ],
)
def test_a_process_that_dies(interpreter, script, words, tmp_path):
    interpreter(script)
    with pytest.raises(EngineError, match=words):
        run_fresh("a.module", [], bundle=tmp_path / "r50")


@pytest.mark.parametrize("kind", [InputError, BundleError, EngineError, OutputError])
def test_what_it_refuses_with_is_raised_here(interpreter, kind, tmp_path, capfd):
    assert fresh_process.refuse(kind("pictures/1.png: no picture; copy it again")) == kind.exit_code
    printed = capfd.readouterr().err
    (tmp_path / "said").write_text(f"half a line{printed}and an engine's last words\n")
    interpreter(f"cat {tmp_path}/said >&2; exit {kind.exit_code}")
    with pytest.raises(kind, match=r"^pictures/1\.png: no picture; copy it again$") as raised:
        run_fresh("a.module", [], bundle=tmp_path / "r50")
    assert type(raised.value) is kind


def test_one_of_a_class_with_more_than_a_text_is_of_the_class_above(capfd):
    class Special(BundleError):
        def __init__(self, text, more):
            super().__init__(text)

    fresh_process.refuse(Special("what", "more"))
    assert capfd.readouterr().err == "\nedgeblend refuses: BundleError: what\n"


@pytest.mark.parametrize("name", ["Nothing", "one_line", "BaseException", ""])
def test_a_refusal_with_no_error_of_ours_is_like_any_last_words(interpreter, name, tmp_path):
    interpreter(f"echo 'edgeblend refuses: {name}: what' >&2; exit 3")
    with pytest.raises(EngineError, match="r50: running it in a process of its own fails: edgeblend refuses"):
        run_fresh("a.module", [], bundle=tmp_path / "r50")


def test_what_it_left_in_the_temporary_folder_goes(interpreter, tmp_path, monkeypatch):
    pytest.importorskip("fcntl")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    interpreter(f"mkdir {tmp_path}/{PREFIX}abcd1234; kill -KILL $$")
    with pytest.raises(EngineError, match="SIGKILL"):
        run_fresh("a.module", [], bundle=tmp_path / "r50")
    assert [path.name for path in tmp_path.iterdir()] == ["python"]


def test_an_unknown_signal_has_its_number():
    assert fresh_process._signal_name(signal.SIGKILL) == "SIGKILL"
    assert fresh_process._signal_name(99) == "signal 99"


def test_one_that_does_not_end_is_named(interpreter, tmp_path, monkeypatch):
    def run(module, arguments):
        return child_process.run_module(module, arguments, time_limit_s=0.2)

    monkeypatch.setattr(fresh_process, "run_module", run)
    interpreter("sleep 600")
    with pytest.raises(EngineError, match="r50: running it in a process of its own did not end within 0.2"):
        run_fresh("a.module", [], bundle=tmp_path / "r50")


def test_no_interpreter(tmp_path, monkeypatch):
    monkeypatch.setattr(child_process.sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(EngineError, match="r50: no process can be started to measure it"):
        run_fresh("a.module", [], bundle=tmp_path / "r50")


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_it_ends_when_its_parent_is_killed(tmp_path):
    child = (
        "from edgeblend.calibration.measuring.fresh_process import end_with_parent\n"
        "import os, threading\n"
        "end_with_parent(os.getppid())\n"
        "print(os.getpid(), flush=True)\n"
        "threading.Event().wait()\n"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        number = int(process.stdout.readline())
        assert Path(f"/proc/{number}").exists()
        process.kill()
        # The pipe ends when the last one that writes to it has.
        assert process.stdout.read() == ""
