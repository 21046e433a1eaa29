"""One small model for all tests of the command line, converted once, by the command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tiny_model import CLASS_NAMES

from edgeblend.cli import main


@dataclass(frozen=True, slots=True)
class Model:
    config: Path
    checkpoint: Path
    state: dict[str, np.ndarray]

    def convert_args(self, out: str | Path, *more: str) -> list[str]:
        given = ["--config", str(self.config), "--out", str(out), "--class-names", ",".join(CLASS_NAMES)]
        return ["convert", str(self.checkpoint), *given, *more]


@dataclass(frozen=True, slots=True)
class Converted:
    path: Path
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def model(tiny_model) -> Model:
    return Model(tiny_model.config, tiny_model.checkpoint, tiny_model.state)


@pytest.fixture(scope="session")
def converted(model, tmp_path_factory) -> Converted:
    """The model as a bundle; tests must not change it."""
    out = tmp_path_factory.mktemp("bundle") / "tiny"
    # In a process of its own: what torch and the engine say on the way must not get into the output.
    command = [sys.executable, "-c", RUN_MAIN, *model.convert_args(out, "--json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return Converted(out, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def bundle(converted) -> Path:
    return converted.path


RUN_MAIN = "import sys; from edgeblend.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def place(tmp_path_factory, monkeypatch) -> Path:
    """An empty current folder, with the system's temporary folder in it.

    Its name is short, as sockets of worker processes need it.
    """
    place = tmp_path_factory.mktemp("place")
    (place / "temp").mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(tempfile, "tempdir", str(place / "temp"))
    return place


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder, hidden ones too, with its size and time of change."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (
            (0, 0) if path.is_dir() else (status.st_size, status.st_mtime_ns)
        )
    return found


@pytest.fixture
def tree() -> Callable[[Path], dict[str, tuple[int, int]]]:
    return _tree


@pytest.fixture
def refused(place, capsys) -> Callable[..., str]:
    """Run a command that must fail: with one line on stderr that has these words, and without a trace."""

    def check(argv: list[object], code: int, *words: str) -> str:
        before = _tree(place)
        capsys.readouterr()
        try:
            actual = main([str(arg) for arg in argv])
        except SystemExit as stop:  # argparse
            actual = stop.code
        stdout, stderr = capsys.readouterr()
        assert _one_line(stderr)
        assert stdout == ""
        for word in words:
            assert word in stderr, stderr
        assert actual == code, stderr
        assert _tree(place) == before
        return stderr

    return check


def _one_line(stderr: str) -> bool:
    assert stderr.count("\n") == 1 and stderr.endswith("\n"), stderr
    assert stderr.startswith("edgeblend") and "Traceback" not in stderr, stderr
    return True


@pytest.fixture
def one_line() -> Callable[[str], bool]:
    return _one_line


@pytest.fixture
def cli(place, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; returns its exit code and what it printed."""

    def run(argv: list[object]) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(arg) for arg in argv])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def cli_json(cli) -> Callable[..., dict]:
    """Run a command with ``--json`` that must go well; returns what it printed."""

    def run(argv: list[object]) -> dict:
        code, stdout, stderr = cli([*argv, "--json"])
        assert (code, stderr) == (0, "")
        return json.loads(stdout)

    return run


@pytest.fixture
def process(place) -> Callable[..., subprocess.CompletedProcess]:
    """Run a command in a process of its own, with imports blocked or code run before."""

    def run(
        argv: list[object], *, blocked: tuple[str, ...] = (), before: str = ""
    ) -> subprocess.CompletedProcess:
        blocks = "".join(f"import sys; sys.modules[{name!r}] = None\n" for name in blocked)
        command = [sys.executable, "-c", f"{blocks}{before}\n{RUN_MAIN}", *[str(arg) for arg in argv]]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, env=environment)

    return run


@pytest.fixture
def picture(place, photograph) -> Path:
    """The photograph as a file."""
    import cv2

    path = place / "coffee.png"
    cv2.imwrite(str(path), photograph)
    return path
