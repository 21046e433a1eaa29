import json
import sys

import numpy as np
import pytest

from edgeblend.calibration.measuring import fresh_start
from edgeblend.calibration.measuring.fresh_start import FreshStart, main, measure_fresh_start
from edgeblend.errors import BundleError, OutputError

pytest.importorskip("openvino")

NO_TIME = '{"load_s": 0.0, "first_result_s": 0.0, "peak_memory": null}'


@pytest.fixture
def frames():
    from small_bundle import frames

    return frames(2)


def test_a_process_of_its_own(small_bundle, frames):
    held = np.ones(80_000_000)  # 640 MB
    found = measure_fresh_start(small_bundle.path, frames, threads=1, score_threshold=0.5)
    assert 0 < found.load_s < found.first_result_s
    if sys.platform != "win32":
        assert found.peak_memory is not None
        assert 30e6 < found.peak_memory < 600e6 < held.nbytes


def test_it_is_handed_the_options_and_the_frames(small_bundle, frames, monkeypatch):
    def run(module, arguments, *, bundle):
        assert module == "edgeblend.calibration.measuring.fresh_start"
        separator = arguments.index("--")
        asked = ["--device", "GPU", "--precision", "f16", "--threads", "3", "--score-threshold", "0.5"]
        assert arguments[:separator] == asked
        assert arguments[separator + 1] == str(bundle) == str(small_bundle.path)
        saved = [np.load(path) for path in arguments[separator + 2 :]]
        np.testing.assert_array_equal(saved, frames)
        return '{"load_s": 1.5, "first_result_s": 2.5, "peak_memory": null}'

    monkeypatch.setattr(fresh_start, "run_fresh", run)
    options = {"device": "GPU", "precision": "f16", "threads": 3, "score_threshold": 0.5}
    assert measure_fresh_start(small_bundle.path, frames, **options) == FreshStart(1.5, 2.5, None)


def test_engine_and_properties_reach_the_process(small_bundle, frames, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        fresh_start, "run_fresh", lambda module, arguments, *, bundle: asked.append(arguments) or NO_TIME
    )
    properties = {"HINT": "a=b", "-N": ""}
    measure_fresh_start(small_bundle.path, frames, backend="openvino", properties=properties)
    loaded = []

    def load(path, **options):
        loaded.append((path, options))
        raise BundleError("seen enough")

    monkeypatch.setattr("edgeblend.runtime.segmenter.Segmenter.load", load)
    monkeypatch.setattr(fresh_start.np, "load", lambda path: None)
    assert main(asked[0]) == BundleError.exit_code
    ((path, options),) = loaded
    assert path == small_bundle.path
    assert options == {
        "backend": "openvino", "device": "CPU", "precision": "f32", "threads": None,
        "properties": properties, "score_threshold": None, "cache_dir": None,
    }  # fmt: skip


def test_its_last_words_are_the_reason(tmp_path, frames):
    (tmp_path / "bundle").mkdir()
    with pytest.raises(BundleError, match=r"not a bundle: it has no manifest\.json"):
        measure_fresh_start(tmp_path / "bundle", frames)


def test_loading_comes_first(small_bundle, frames, tmp_path, capsys, monkeypatch):
    ticks = iter([10.0, 12.0, 15.0])
    monkeypatch.setattr(fresh_start.time, "perf_counter", lambda: next(ticks, 99.0))
    monkeypatch.setattr("edgeblend.runtime.segmenter.Segmenter.__call__", lambda self, frame: None)
    for number, frame in enumerate(frames):
        np.save(tmp_path / f"{number}.npy", frame)
    assert main([str(small_bundle.path), *map(str, sorted(tmp_path.iterdir()))]) == 0
    told = json.loads(capsys.readouterr().out.removeprefix("\nedgeblend answers: "))
    assert (told["load_s"], told["first_result_s"]) == (2.0, 5.0)
    assert set(told) == {"load_s", "first_result_s", "peak_memory"}


def test_compiled_graphs_are_kept_where_asked_for(small_bundle, frames, tmp_path):
    cache = tmp_path / "cache"
    measure_fresh_start(small_bundle.path, frames, cache_dir=cache)
    kept = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert kept
    measure_fresh_start(small_bundle.path, frames, cache_dir=cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == kept


def test_a_temporary_folder_that_is_full(small_bundle, frames, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fresh_start.np, "save", fail)
    with pytest.raises(OutputError, match="temporary folder: the frames .* No space left .* TMPDIR"):
        measure_fresh_start(small_bundle.path, frames)
