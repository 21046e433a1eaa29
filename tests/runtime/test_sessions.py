"""Options are refused before an engine sees them; what was opened is closed where the rest cannot be."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import safetensors.numpy
from bundle_factory import rehash_attention, write_tiny_bundle
from fake_engine import FakeEngine, described

from edgeblend.bundle import Bundle
from edgeblend.errors import BundleError, EngineError, InputError
from edgeblend.runtime import sessions as module
from edgeblend.runtime.backends.base import EngineOptions
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.runtime.sessions import close_sessions, engine_options, fork_sessions, open_sessions

FRAME = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle of a few bytes whose attention layer fits what the fake engine says."""
    folder = write_tiny_bundle(tmp_path / "tiny")
    weights = {"weight": np.zeros((9 * 8, 4 * 14 * 14), np.float32), "bias": np.zeros(784, np.float32)}
    safetensors.numpy.save_file(weights, folder / "attention.safetensors")
    rehash_attention(folder)
    return Bundle.load(folder)


@pytest.fixture
def engine(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine(described(bundle.manifest))
    monkeypatch.setattr(module, "load_backend", lambda name: made)
    return made


# Options

REFUSED = {
    "threads": [0, -1, True, "2", 2.5, 3_000_000_000, 1025, [2]],
    "streams": [0, -1, True, "2", 2.5, 3_000_000_000, None],
    "device": [None, 1, {}, {"detector": "CPU"}, {"detector": "CPU", "basis": None}, b"CPU", ["CPU"]],
    "precision": ["f8", "F32", None, 32, {}, {"detector": "f32", "basis": "f8"}],
    "cache_dir": ["", 5, b"cache", ["cache"]],
    "properties": [{"a": 1}, {1: "a"}, "a=1", ["a"], 5],
    "backend": [5, b"openvino", ["openvino"]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in REFUSED for value in REFUSED[name]])
def test_what_no_engine_takes_is_refused_by_name(name, value, bundle, engine) -> None:
    for refuse in (
        lambda: engine_options(**{name: value}),
        lambda: open_sessions(bundle, **{name: value}),
        lambda: Segmenter.load(bundle, **{name: value}),
    ):
        with pytest.raises(InputError, match=name):
            refuse()
    assert engine.count == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("threads", "streams", "device", "precision") for value in REFUSED[name]],
)
def test_options_of_one_graph_are_refused_alike(name, value) -> None:
    """Whoever opens a graph alone goes through the same check."""
    if not (name == "device" and isinstance(value, str)):
        with pytest.raises(InputError, match=name):
            EngineOptions(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threads", np.int64(2)),
        ("threads", 1024),
        ("streams", 1024),
        ("device", MappingProxyType({"detector": "CPU", "basis": "cpu"})),
        ("properties", MappingProxyType({"a": "1"})),
        ("cache_dir", "."),
        ("cache_dir", Path()),
    ],
)
def test_what_engines_take_passes(name, value, bundle, engine) -> None:
    open_sessions(bundle, **{name: value})
    assert engine.count == 2


def test_a_part_that_nobody_knows(bundle, engine) -> None:
    with pytest.raises(InputError, match="device names bases; the parts are basis, detector"):
        open_sessions(bundle, device={"detector": "CPU", "basis": "CPU", "bases": "CPU"})


def test_a_cache_that_is_a_file(bundle, engine, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file"):
        open_sessions(bundle, cache_dir=tmp_path / "file")


@pytest.mark.parametrize("value", ["0.5", True, float("nan"), 1, -0.1, [0.5]])
def test_a_threshold_that_is_none(value, bundle, engine) -> None:
    with pytest.raises(InputError, match="score_threshold"):
        Segmenter.load(bundle, score_threshold=value)


@pytest.mark.parametrize("value", ["glue", None, True, ["clipped"]])
def test_a_way_to_paste_that_is_none(value, bundle, engine) -> None:
    with pytest.raises(InputError, match="paste"):
        Segmenter.load(bundle, paste=value)


@pytest.mark.parametrize("value", [8, "8x8", (8,), (8, 8, 3), (8, 0), (8, 2.5), (True, 8), (8, 1 << 40)])
def test_a_size_that_is_none(value, bundle, engine) -> None:
    segmenter = Segmenter.load(bundle)
    with pytest.raises(InputError, match="output_size"):
        segmenter(FRAME, output_size=value)
    with pytest.raises(InputError, match="output_size"):
        segmenter.stream([FRAME], output_size=value)


@pytest.mark.parametrize("value", [0, -1, True, "2", 2.5, 3_000_000_000])
def test_frames_in_flight_that_cannot_be(value, bundle, engine) -> None:
    with pytest.raises(InputError, match="in_flight"):
        Segmenter.load(bundle).stream([FRAME], in_flight=value)


@pytest.mark.parametrize("value", [None, 5, "frames", b"frames"])
def test_frames_that_are_none(value, bundle, engine) -> None:
    with pytest.raises(InputError, match="frames: got"):
        Segmenter.load(bundle).stream(value)


@pytest.mark.parametrize("value", [None, "picture.jpg", [[1, 2]], 5])
def test_a_frame_that_is_none(value, bundle, engine) -> None:
    with pytest.raises(InputError):
        Segmenter.load(bundle)(value)


# Closing


@pytest.mark.parametrize("fails_at", [1, 2])
@pytest.mark.parametrize("opening", [open_sessions, Segmenter.load])
def test_what_was_opened_is_closed_where_the_rest_cannot_be(opening, fails_at, bundle, engine) -> None:
    engine.fails_at = fails_at
    with pytest.raises(EngineError, match=f"session {fails_at} cannot be opened"):
        opening(bundle)
    assert engine.open == []


def test_what_was_opened_stays_open_otherwise(bundle, engine) -> None:
    """The control of all that follows: the fake sees what nobody closes."""
    segmenter = Segmenter.load(bundle)
    assert len(engine.open) == 2
    segmenter.close()
    assert engine.open == []


def test_graphs_that_are_not_those_of_the_manifest_are_closed(bundle, engine) -> None:
    inputs, _ = engine.described["basis.xml"]
    engine.described = {**engine.described, "basis.xml": (inputs, {})}
    with pytest.raises(BundleError, match="'bases' is not there"):
        open_sessions(bundle)
    assert engine.open == []


def test_an_attention_layer_that_cannot_be_read_closes_the_graphs(bundle, engine) -> None:
    bundle.file(bundle.manifest.attention.file).write_bytes(b"\0" * 64)
    opened = {part: engine.opened({}, {}) for part in ("detector", "basis")}
    with pytest.raises(BundleError, match="attention.safetensors"):
        Segmenter.from_sessions(bundle, opened)
    assert engine.open == []
    with pytest.raises(BundleError, match="attention.safetensors"):
        Segmenter.load(bundle)
    assert engine.open == []


@pytest.mark.parametrize("options", [{"paste": "glue"}, {"score_threshold": 2}, {"streams": 0}])
def test_a_segmenter_that_is_refused_closes_the_sessions_it_was_given(options, bundle, engine) -> None:
    with pytest.raises(InputError):
        Segmenter.from_sessions(bundle, open_sessions(bundle), **options)
    assert engine.open == []


@pytest.mark.parametrize("fails_at", [3, 4])
def test_forks_are_closed_where_the_rest_cannot_be_made(fails_at, bundle, engine) -> None:
    engine.fails_at = fails_at
    opened = open_sessions(bundle)
    with pytest.raises(EngineError, match=f"session {fails_at}"):
        fork_sessions(opened)
    assert engine.open == list(opened.values())


@pytest.mark.parametrize("fails_at", [3, 4, 5, 6])
def test_a_stream_that_cannot_have_all_its_lanes_closes_those_it_has(fails_at, bundle, engine) -> None:
    engine.fails_at = fails_at
    segmenter = Segmenter.load(bundle)
    with pytest.raises(EngineError, match=f"session {fails_at}"):
        next(segmenter.stream([FRAME], in_flight=2))
    assert len(engine.open) == 2


def test_every_session_is_closed_also_where_closing_fails(bundle, engine) -> None:
    segmenter = Segmenter.load(bundle)
    engine.close_fails = True
    with pytest.raises(RuntimeError, match="cannot be closed"):
        segmenter.close()
    assert engine.open == []
    opened = fork_sessions({"detector": engine.opened({}, {}), "basis": engine.opened({}, {})})
    with pytest.raises(RuntimeError, match="cannot be closed"):
        close_sessions(opened)
    assert len(engine.open) == 2


# Engines


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tflite", "convert the checkpoint with target 'tflite'"),
        ("abacus", "leave the engine out"),
        ("", "leave the engine out"),
    ],
)
def test_what_is_advised_is_accepted(name, advice, bundle) -> None:
    with pytest.raises(EngineError, match=f"made for 'openvino', not for '{name}'; {advice}"):
        open_sessions(bundle, backend=name)
