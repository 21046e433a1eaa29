"""One process at a time in a folder of compiled graphs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgeblend.errors import EngineError
from edgeblend.runtime.backends import cache_lock
from edgeblend.runtime.backends.base import EngineOptions
from edgeblend.runtime.backends.cache_lock import LOCK_NAME, cache_locked
from edgeblend.runtime.sessions import open_sessions

fcntl = pytest.importorskip("fcntl")


def held(folder):
    """Whether somebody holds the folder."""
    with contextlib.suppress(FileNotFoundError), (folder / LOCK_NAME).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize("locked", [True, False])
def test_threads_are_inside_one_after_the_other(tmp_path, locked, monkeypatch):
    """Without the lock, both are inside at once: the negative control."""
    if not locked:
        monkeypatch.setattr(cache_lock, "_lock", lambda file: None)
    together = threading.Barrier(1 if locked else 2, timeout=60)
    inside, found = [], []

    def enter(number):
        with cache_locked(tmp_path / "cache"):
            inside.append(number)
            together.wait()
            found.append(len(inside))
            together.wait()
            inside.remove(number)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(enter, range(2)))
    assert found == ([1, 1] if locked else [2, 2])


def test_it_is_held_within_the_block_and_no_longer(tmp_path):
    folder = tmp_path / "deep" / "cache"
    with cache_locked(folder):
        assert held(folder)
    assert not held(folder)
    with contextlib.suppress(KeyboardInterrupt), cache_locked(folder):
        raise KeyboardInterrupt
    assert not held(folder)


HOLDER = """
import sys
from pathlib import Path
from edgeblend.runtime.backends.cache_lock import cache_locked
with cache_locked(Path(sys.argv[1])):
    print("inside", flush=True)
    sys.stdin.read()
"""


def test_another_process_holds_it_until_it_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "inside\n"
        assert held(tmp_path)
        process.kill()
    assert not held(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
def test_a_process_that_was_forked_meanwhile_does_not_keep_it(tmp_path):
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_cache_lock import cache_locked, held
folder = Path({str(tmp_path)!r})
with cache_locked(folder):
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(theirs)
        os.read(ours, 1)  # returns when the parent has closed its end
        os._exit(0)
    os.close(ours)
print(held(folder))
os.close(theirs)
os.waitpid(child, 0)
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


@pytest.mark.parametrize("folder", ["file/cache", "nul\0"])
def test_a_folder_that_cannot_be_made_is_left_to_the_engine(tmp_path, folder):
    (tmp_path / "file").touch()
    with cache_locked(tmp_path / folder):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_none_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with cache_locked(None):
        pass
    assert list(tmp_path.iterdir()) == []


class Reached(Exception):
    """Raised in the place of an engine's work."""


@pytest.mark.parametrize("given", ["option", "property", None])
def test_openvino_compiles_while_it_is_held(small_bundle, tmp_path, monkeypatch, given):
    ov = pytest.importorskip("openvino")
    noted = []

    def compile_model(*arguments):
        noted.append(held(tmp_path))
        raise Reached

    monkeypatch.setattr(ov.Core, "compile_model", compile_model)
    options = {"option": {"cache_dir": tmp_path}, "property": {"properties": {"CACHE_DIR": str(tmp_path)}}}
    with pytest.raises(EngineError, match="OpenVINO cannot compile"):
        open_sessions(small_bundle, **options.get(given, {}))
    assert noted == [given is not None]


@pytest.mark.parametrize("keeps", [True, False])
def test_onnx_runtime_opens_while_it_is_held_where_a_provider_keeps_graphs(tmp_path, monkeypatch, keeps):
    onnxruntime = pytest.importorskip("edgeblend.runtime.backends.onnxruntime")
    noted = []

    def session(*arguments, **options):
        noted.append(held(tmp_path))
        raise Reached

    monkeypatch.setattr(onnxruntime.ort, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "_CACHES", {"CPU": {}} if keeps else {})
    with pytest.raises(EngineError, match="ONNX Runtime cannot open"):
        onnxruntime.model_session(b"", EngineOptions(cache_dir=tmp_path))
    assert noted == [keeps]
