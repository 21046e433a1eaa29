"""Every file operation fails once: of processes that measure, and of what is kept on the way."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from faults import failing, fault_numbers, interrupted, no_permission, no_space

from edgeblend.calibration.data.frames import Frame
from edgeblend.calibration.evaluation.kept import KeptBytes
from edgeblend.calibration.measuring import fresh_start, peak_memory
from edgeblend.calibration.measuring.spool import Spool
from edgeblend.errors import EdgeBlendError, InputError, OutputError

HOWS = pytest.mark.parametrize("how", [no_space, no_permission, interrupted])


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The temporary folder, in ``tmp_path``."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def ends(do, tmp_path, temporary, how):
    """Let each operation fail once; returns how often it ended how, with nothing left in the end."""
    found = Counter()
    for number in fault_numbers(do, below=tmp_path):
        try:
            with failing(number, how, below=tmp_path):
                do()
            found["well"] += 1
        except EdgeBlendError as error:
            assert "\n" not in str(error)
            found[type(error)] += 1
        except KeyboardInterrupt:
            found["interrupted"] += 1
        assert list(temporary.iterdir()) == [], number
    return found


REFUSAL = re.compile(r"\nedgeblend refuses: (BundleError|InputError|OutputError|EngineError): .+\n")


@pytest.mark.parametrize("module", [peak_memory, fresh_start])
@pytest.mark.parametrize("how", [no_space, no_permission])
def test_a_process_that_measures_says_what_failed(
    module, how, small_bundle, small_pictures, tmp_path, temporary, capfd
):
    pytest.importorskip("openvino")
    from small_bundle import write_small_bundle

    write_small_bundle(tmp_path / "packed.zip")
    shutil.copy(small_pictures / "0.png", tmp_path)
    np.save(tmp_path / "0.npy", np.zeros((64, 96, 3), np.uint8))
    file = tmp_path / ("0.png" if module is peak_memory else "0.npy")
    codes = Counter()

    def measure():
        capfd.readouterr()
        code = module.main([str(tmp_path / "packed.zip"), str(file)])
        stdout, stderr = capfd.readouterr()
        assert code or "\nedgeblend answers: " in stdout
        assert not code or REFUSAL.fullmatch(stderr), stderr
        codes[code] += 1

    for number in fault_numbers(measure, below=tmp_path):
        try:
            with failing(number, how, below=tmp_path):
                measure()
        except OSError:  # of what only measuring needs: the process's last words are told
            codes["last words"] += 1
        assert list(temporary.iterdir()) == [], number
    assert codes[9 if how is no_space else 6] > 5
    assert codes["last words"] == (module is fresh_start)


@HOWS
def test_frames_that_are_handed_to_a_process(how, small_bundle, tmp_path, temporary, monkeypatch):
    told = '{"load_s": 1.5, "first_result_s": 2.5, "peak_memory": null}'
    monkeypatch.setattr(fresh_start, "run_fresh", lambda module, arguments, *, bundle: told)
    frames = [np.zeros((4, 4, 3), np.uint8)] * 2

    def measure():
        fresh_start.measure_fresh_start(small_bundle.path, frames)

    found = ends(measure, tmp_path, temporary, how)
    assert found["interrupted" if how is interrupted else OutputError] >= 5


@HOWS
def test_copies_of_frames(how, tmp_path, temporary):
    def keep():
        spool = Spool("frames")
        try:
            for index in range(3):
                spool.put(Frame(index, f"frame {index}", np.full((4, 4, 3), index, np.uint8)))
            spool.keep({1})
            assert [frame.name for frame in spool.read()] == ["frame 1"]
        finally:
            spool.close()

    found = ends(keep, tmp_path, temporary, how)
    assert found["interrupted" if how is interrupted else OutputError] >= 8
    assert how is interrupted or found[InputError] == 1  # reading it back


@HOWS
def test_results_that_are_kept(how, tmp_path, temporary):
    def keep():
        pieces = KeptBytes()
        pieces.append(b"one")
        pieces.append(b"two")
        assert list(pieces) == [b"one", b"two"]

    found = ends(keep, tmp_path, temporary, how)
    assert found["interrupted" if how is interrupted else OutputError] >= 2


def test_results_that_cannot_be_read_back(monkeypatch):
    pieces = KeptBytes()
    pieces.append(b"one")
    pieces._file.close()
    pieces._file = Unreadable()
    with pytest.raises(OutputError, match="results cannot be read back: .*Input/output error"):
        pieces[0]


class Unreadable:
    """A file on a disk that is broken."""

    def seek(self, position):
        raise OSError(5, "Input/output error")


def test_a_file_that_stays_is_seen(tmp_path, temporary):
    """The negative control."""

    def keep():
        Path(temporary, "file").touch()
        Path(temporary, "file").unlink()

    with pytest.raises(AssertionError, match="temp/file"):
        ends(keep, tmp_path, temporary, interrupted)
