"""What every engine must offer, over the registry, and how the registry finds them."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from edgeblend.errors import EngineError
from edgeblend.runtime.backends import registry
from edgeblend.runtime.backends.base import EngineInfo, EngineOptions

INSTALLED = [
    name for name, entry in registry.BACKENDS.items() if pytest.importorskip(entry.package) is not None
]


@pytest.fixture(params=INSTALLED)
def backend(request):
    return registry.load_backend(request.param)


@pytest.fixture
def detector(backend, tiny_bundle):
    """The tiny model's detector, opened; made for the engine that is tested."""
    return backend.open_session(
        tiny_bundle.graph("detector"), tiny_bundle.graph_files("detector"), EngineOptions()
    )


@pytest.fixture
def image() -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(0).integers(0, 256, (1, 160, 224, 3), np.uint8)}


def test_outputs_are_as_the_manifest_says(detector, tiny_bundle, image) -> None:
    outputs = detector.run(image)
    specs = tiny_bundle.graph("detector").outputs
    assert set(outputs) == {spec.name for spec in specs}
    assert {str(output.dtype) for output in outputs.values()} == {"float32"}
    assert outputs["cls_logits_p4"].shape == (1, 3, 10, 14)
    assert outputs["box_reg_p3"].shape == (1, 4, 20, 28)


def test_the_same_input_gives_the_same_output(detector, image) -> None:
    first = {name: output.copy() for name, output in detector.run(image).items()}
    for name, output in detector.run(image).items():
        np.testing.assert_array_equal(output, first[name])


def test_an_input_that_is_not_writable_or_not_contiguous_is_read_right(detector, image) -> None:
    expected = {name: output.copy() for name, output in detector.run(image).items()}
    frozen = image["image"].copy()
    frozen.flags.writeable = False
    reversed_twice = np.ascontiguousarray(image["image"][:, :, ::-1])[:, :, ::-1]
    assert not reversed_twice.flags.c_contiguous
    for array in (frozen, reversed_twice):
        for name, output in detector.run({"image": array}).items():
            np.testing.assert_array_equal(output, expected[name])


def test_a_wrong_shape_is_an_engine_error(detector) -> None:
    with pytest.raises(EngineError):
        detector.run({"image": np.zeros((1, 8, 8, 3), np.uint8)})


def test_a_wrong_name_is_an_engine_error(detector, image) -> None:
    with pytest.raises(EngineError):
        detector.run({"picture": image["image"]})


def test_a_closed_session_does_not_run(detector, image) -> None:
    detector.close()
    with pytest.raises(EngineError, match="closed"):
        detector.run(image)


def test_info_is_filled(detector) -> None:
    assert detector.info.engine and detector.info.device and detector.info.device_name
    assert detector.info.precision == "f32"


@pytest.mark.parametrize("part", ["detector", "basis"])
def test_a_graph_in_int8_says_so(part, backend, small_int8) -> None:
    session = backend.open_session(
        small_int8.graph(part), small_int8.graph_files(part), EngineOptions(threads=1)
    )
    assert (session.info.precision, session.info.threads) == ("int8+f32", 1)
    session.close()


def test_a_graph_in_int8_gives_the_same_outputs_again(backend, small_int8) -> None:
    graph = small_int8.graph("detector")
    session = backend.open_session(graph, small_int8.graph_files("detector"), EngineOptions())
    image = {"image": np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)}
    first = {name: output.copy() for name, output in session.run(image).items()}
    assert set(first) == {spec.name for spec in graph.outputs}
    assert {str(output.dtype) for output in first.values()} == {"float32"}
    for name, output in session.run(image).items():
        np.testing.assert_array_equal(output, first[name])


def test_a_graph_that_should_be_in_int8_and_runs_in_float_is_refused(backend, small_bundle) -> None:
    """As on a device that has no INT8: nothing falls back silently."""
    graph = msgspec.structs.replace(small_bundle.graph("basis"), precision="int8")
    files = small_bundle.graph_files("basis")
    with pytest.raises(EngineError, match=r"computes none of this int8 graph's layers in int8.*'engine'"):
        backend.open_session(graph, files, EngineOptions())
    accepted = backend.open_session(graph, files, EngineOptions(precision="engine"))
    assert "int8" not in accepted.info.precision


def test_engine_info_lists_devices(backend) -> None:
    info = backend.engine_info()
    assert info.version
    assert any(device.device == "CPU" for device in info.devices)


def test_a_graph_of_another_format_is_refused(backend, tiny_bundle) -> None:
    graph = msgspec.structs.replace(tiny_bundle.graph("basis"), format="flatbuffer")
    with pytest.raises(EngineError, match="flatbuffer"):
        backend.open_session(graph, tiny_bundle.graph_files("basis"), EngineOptions())


def test_a_broken_graph_file_is_an_engine_error(backend, tiny_bundle, tmp_path) -> None:
    broken = tmp_path / "basis.xml"
    broken.write_text("<net")
    with pytest.raises(EngineError):
        backend.open_session(tiny_bundle.graph("basis"), [broken], EngineOptions())


def test_an_unknown_engine_lists_the_known() -> None:
    with pytest.raises(EngineError, match=r"unknown engine 'abacus'; known are .*openvino"):
        registry.load_backend("abacus")


@pytest.mark.parametrize("name", registry.BACKENDS)
def test_a_missing_engine_names_its_extra(name, monkeypatch) -> None:
    entry = registry.BACKENDS[name]
    monkeypatch.setitem(sys.modules, entry.package, None)
    with pytest.raises(EngineError, match=rf'pip install "edgeblend\[{entry.extra}\]"'):
        registry.load_backend(name)


def test_another_package_can_bring_an_engine(monkeypatch) -> None:
    engine = SimpleNamespace(engine_info=lambda: EngineInfo("1.0", ()))
    monkeypatch.setitem(sys.modules, "foreign_engine", engine)
    entry = EntryPoint("foreign", "foreign_engine", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    assert "foreign" in registry.backend_names()
    assert registry.load_backend("foreign").engine_info().version == "1.0"


def test_a_foreign_engine_that_cannot_be_imported(monkeypatch) -> None:
    entry = EntryPoint("foreign", "no_such_module", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(EngineError, match="'foreign'.*no_such_module"):
        registry.load_backend("foreign")
