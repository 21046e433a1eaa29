"""TFLite as an engine: the contract, and what is its own."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("ai_edge_quantizer")

from bundle_factory import make_quantization
from small_bundle import frames
from small_tflite import CANVAS, float_spec, small_basis, small_detector, write_small_tflite

from edgeblend.bundle import Bundle, stage_bundle
from edgeblend.converters.tflite import toolkit as ai_edge
from edgeblend.converters.tflite.precision import round_weights
from edgeblend.errors import EngineError, MissingPackageError
from edgeblend.manifest import MANIFEST_NAME, encode_manifest
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends import tflite
from edgeblend.runtime.backends.base import EngineOptions
from edgeblend.testing import EngineContract


@pytest.fixture(scope="module")
def float_tflite(tmp_path_factory) -> Bundle:
    return write_small_tflite(tmp_path_factory.mktemp("tflite") / "float")


@pytest.fixture(scope="module")
def int8_tflite(tmp_path_factory, float_tflite) -> Bundle:
    """The same in INT8, the basis graph taking just what the detector gives."""
    recipe = Recipe(name="test", bias_correction="none", overflow_safe=False)
    manifest, out = float_tflite.manifest, tmp_path_factory.mktemp("tflite") / "int8"
    images = [{"image": picture[None].astype(np.float32)} for picture in frames(6, size=CANVAS)]
    detector = ai_edge.quantize_model(small_detector(), images, recipe, float_layers=(), arriving={})
    session = tflite.model_session(small_detector())
    features = [{"p3": session.run(item)["p3"]} for item in images]
    spec = ai_edge.described(detector, float_spec("detector"))
    arriving = {"p3": next(entry.quantization for entry in spec.outputs if entry.role == "pyramid")}
    basis = ai_edge.quantize_model(small_basis(), features, recipe, float_layers=(), arriving=arriving)
    with stage_bundle(out) as folder:
        graphs = {
            part: ai_edge.save_model(model, folder, part, manifest.graphs[part], half=False).spec(
                "tflite", "int8"
            )
            for part, model in (("detector", detector), ("basis", basis))
        }
        attention = manifest.attention.file
        assert attention is not None
        (folder / attention.name).write_bytes(float_tflite.file(attention).read_bytes())
        made = msgspec.structs.replace(manifest, graphs=graphs, quantization=make_quantization())
        (folder / MANIFEST_NAME).write_bytes(encode_manifest(made))
    return Bundle.load(out)


class TestTflite(EngineContract):
    engine = "tflite"

    @pytest.fixture
    def float_bundle(self, float_tflite: Bundle) -> Bundle:
        return float_tflite

    @pytest.fixture
    def int8_bundle(self, int8_tflite: Bundle) -> Bundle:
        return int8_tflite


def opened(bundle: Bundle, part: str = "basis", **options) -> tflite.TfliteSession:
    return tflite.open_session(bundle.graph(part), bundle.graph_files(part), EngineOptions(**options))


def precision_of(content: bytes) -> str:
    return tflite.model_session(content).info.precision


def test_info_says_what_the_layers_compute_in(images) -> None:
    recipe = Recipe(name="test", bias_correction="none", overflow_safe=False)
    mixed = ai_edge.quantize_model(
        small_detector(), images, recipe, float_layers=("head.tower",), arriving={}
    )
    whole = ai_edge.quantize_model(small_detector(), images, recipe, float_layers=(), arriving={})
    assert precision_of(small_detector()) == "f32"
    assert precision_of(round_weights(small_detector(), "fp16")) == "f32"
    assert precision_of(round_weights(small_detector(), "int8-dynamic")) == "int8+f32"
    assert precision_of(mixed) == "int8+f32"
    assert precision_of(whole) == "int8"


@pytest.fixture(scope="module")
def images() -> list[dict[str, np.ndarray]]:
    return [{"image": picture[None].astype(np.float32)} for picture in frames(2, size=CANVAS)]


def test_outputs_outlive_the_next_run(int8_tflite) -> None:
    """Views of the interpreter's memory would keep it from running, or change under their holder."""
    session = opened(int8_tflite, "detector")
    first = session.run({"image": np.full((1, *CANVAS, 3), -100, np.int8)})
    kept = {name: array.copy() for name, array in first.items()}
    second = session.run({"image": np.full((1, *CANVAS, 3), 100, np.int8)})
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])
    assert any((second[name] != kept[name]).any() for name in kept)


def test_the_engine_names_the_package_and_its_version(float_tflite) -> None:
    assert opened(float_tflite).info.engine.startswith("ai-edge-litert ")
    assert tflite.engine_info().version == opened(float_tflite).info.engine


def test_an_interpreter_can_be_named(float_tflite) -> None:
    named = opened(float_tflite, properties={"interpreter": "ai_edge_litert"})
    assert named.info == opened(float_tflite).info


def test_an_interpreter_that_nobody_knows(float_tflite) -> None:
    with pytest.raises(EngineError, match=r"'abacus'; known are ai_edge_litert, tflite_runtime"):
        opened(float_tflite, properties={"interpreter": "abacus"})


def test_an_interpreter_that_is_not_installed_says_how_to_get_it(float_tflite, monkeypatch) -> None:
    monkeypatch.setattr(tflite, "find_spec", lambda name: None)
    with pytest.raises(
        MissingPackageError, match=r"tflite_runtime is not installed; run `pip install tflite-runtime`"
    ):
        opened(float_tflite, properties={"interpreter": "tflite_runtime"})
    with pytest.raises(MissingPackageError, match="ai_edge_litert or tflite_runtime is not installed"):
        opened(float_tflite)


def test_the_other_interpreter_is_not_imported(float_tflite) -> None:
    opened(float_tflite)
    assert "tflite_runtime" not in sys.modules


def test_the_cpu_takes_no_properties(float_tflite) -> None:
    with pytest.raises(EngineError, match="no property cache, only 'interpreter'"):
        opened(float_tflite, properties={"cache": "on"})


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("GPU", r"device GPU is not there; TFLite has CPU, and delegates by the path"),
        ("/nowhere/libdelegate.so", r"/nowhere/libdelegate.so cannot be loaded: .*No such file"),
    ],
)
def test_a_delegate_that_is_not_there(device, message, float_tflite) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        opened(float_tflite, device=device)
    assert "\n" not in str(caught.value)


def test_a_library_that_is_no_delegate(float_tflite, tmp_path) -> None:
    library = Path(sys.modules["_ctypes"].__file__ or "")
    with pytest.raises(EngineError, match=r"cannot be loaded with gpu=1: .*tflite_plugin_create_delegate"):
        opened(float_tflite, device=str(library), properties={"gpu": "1"})


OPERATORS = [
    {"op_name": "CONV_2D", "inputs": [0, 10, 11], "outputs": [1]},
    {"op_name": "CONV_2D", "inputs": [1, 12, 13], "outputs": [2]},
    {"op_name": "ADD", "inputs": [1, 2], "outputs": [3]},
    {"op_name": "CONV_2D", "inputs": [3, 14, 15], "outputs": [4]},
]


class Listing:
    """An interpreter as far as it lists operators: those above, and what delegates' nodes there are."""

    def __init__(self, *delegates: dict) -> None:
        self._operators = [*OPERATORS, *({"op_name": "DELEGATE", **node} for node in delegates)]

    def _get_ops_details(self) -> list[dict]:
        return self._operators


@pytest.mark.parametrize(
    ("delegates", "taken"),
    [
        ([], 0),
        ([{"inputs": [0, 10, 11, 12, 13, 14, 15], "outputs": [4]}], 4),
        ([{"inputs": [1, 12, 13], "outputs": [3]}], 2),
        ([{"inputs": [0, 10, 11], "outputs": [1]}, {"inputs": [3, 14, 15], "outputs": [4]}], 2),
    ],
)
def test_what_a_delegate_takes_lies_between_its_outputs_and_inputs(delegates, taken) -> None:
    assert tflite._taken_by_delegate(Listing(*delegates)) == taken


def test_a_delegate_that_takes_nothing_is_refused_and_one_that_takes_a_part_shows(float_tflite) -> None:
    session = opened(float_tflite)
    on_device = dataclasses.replace(session.info, device="libdelegate.so")
    with pytest.raises(EngineError, match="takes none of the 4 operators of basis.tflite"):
        tflite._with_delegate(on_device, 0, 4, "basis.tflite")
    assert tflite._with_delegate(on_device, 3, 4, "basis.tflite").device == "libdelegate.so,CPU"
    assert tflite._with_delegate(on_device, 4, 4, "basis.tflite").device == "libdelegate.so"


def test_float_layers_on_a_delegate_need_the_engines_choice(float_tflite) -> None:
    info = dataclasses.replace(opened(float_tflite).info, device="libdelegate.so")
    graph = float_tflite.graph("basis")
    with pytest.raises(EngineError, match="does not say whether it computes float layers in f32"):
        tflite._check_precision(info, graph, EngineOptions(device="libdelegate.so"))
    tflite._check_precision(info, graph, EngineOptions(device="libdelegate.so", precision="engine"))


@pytest.mark.parametrize("content", [b"", b"<net", b"\x00" * 64])
def test_a_file_that_is_no_graph(content, float_tflite, tmp_path) -> None:
    file = tmp_path / "basis.tflite"
    file.write_bytes(content)
    with pytest.raises(EngineError, match="cannot open basis.tflite for CPU") as caught:
        tflite.open_session(float_tflite.graph("basis"), [file], EngineOptions())
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(float_tflite, tmp_path) -> None:
    with pytest.raises(EngineError, match=r"cannot open basis.tflite"):
        tflite.open_session(float_tflite.graph("basis"), [tmp_path / "basis.tflite"], EngineOptions())


def test_a_fork_runs_beside_its_origin_and_outlives_it(int8_tflite) -> None:
    session = opened(int8_tflite, "detector")
    image = {"image": np.full((1, *CANVAS, 3), 7, np.int8)}
    expected = session.run(image)
    fork = session.fork()
    session.close()
    for name, array in fork.run(image).items():
        np.testing.assert_array_equal(array, expected[name])
    with pytest.raises(EngineError, match="closed"):
        session.fork()
