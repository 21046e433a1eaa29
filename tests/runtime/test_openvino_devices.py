"""OpenVINO's virtual devices hand work on; what is said of them is what the devices say that compute."""

from __future__ import annotations

import pytest

pytest.importorskip("openvino")

from edgeblend.errors import EngineError
from edgeblend.runtime.backends import openvino as backend
from edgeblend.runtime.backends.base import EngineOptions
from edgeblend.runtime.backends.processor import usable_cores

VIRTUAL = ["AUTO", "AUTO:CPU", "HETERO:CPU", "MULTI:CPU", "BATCH:CPU", "BATCH:CPU(2)"]


def opened(bundle, **options) -> backend.OpenVinoSession:
    return backend.open_session(bundle.graph("basis"), bundle.graph_files("basis"), EngineOptions(**options))


@pytest.mark.parametrize("device", [*VIRTUAL, "cpu", "auto:cpu", "Auto", "AUTO:-GPU", "auto:cpu,-npu"])
def test_a_virtual_device_opens_by_default_and_says_what_computes(device, small_bundle) -> None:
    info = opened(small_bundle, device=device).info
    assert (info.device, info.precision) == ("CPU", "f32")
    assert info.threads == usable_cores()
    assert info.device_name


@pytest.mark.parametrize("device", VIRTUAL)
def test_a_virtual_device_takes_options(device, small_bundle, tmp_path) -> None:
    info = opened(small_bundle, device=device, threads=1, streams=1, cache_dir=tmp_path).info
    assert info.threads == 1


@pytest.mark.parametrize("device", VIRTUAL)
def test_a_virtual_device_shows_layers_in_int8(device, small_int8) -> None:
    graph, files = small_int8.graph("detector"), small_int8.graph_files("detector")
    info = backend.open_session(graph, files, EngineOptions(device=device)).info
    assert info.precision == "int8+f32"


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("HETERO", "device HETERO names no device to compute on; write such as HETERO:CPU"),
        ("MULTI:", "device MULTI: names no device"),
        ("batch", "device BATCH names no device"),
        ("AUTO:TOASTER,CPU", "device TOASTER is not there; OpenVINO sees .*CPU"),
        ("CPU:TOASTER", "device CPU:TOASTER is not there"),
        ("", "device  is not there"),
    ],
)
def test_devices_that_are_not_there(device, words, small_bundle) -> None:
    with pytest.raises(EngineError, match=words):
        opened(small_bundle, device=device)


class Compiled:
    """A compiled graph of a plugin that is not on this machine."""

    def __init__(self, **properties: object) -> None:
        self._properties = {"SUPPORTED_PROPERTIES": list(properties), **properties}

    def get_property(self, name: str) -> object:
        if name not in self._properties:
            raise RuntimeError(f"Exception from src/plugin.cpp:1:\n\nunsupported property {name}\n")
        return self._properties[name]


class Type:
    def __init__(self, name: str) -> None:
        self._name = name

    def get_type_name(self) -> str:
        return self._name


class Core:
    def get_property(self, device: str, name: str) -> str:
        assert "(" not in device
        return f"a {device}"


def both(*precisions: str) -> dict[str, dict[str, object]]:
    return {
        device: {"INFERENCE_PRECISION_HINT": Type(precision)}
        for device, precision in zip(("NPU", "CPU"), precisions, strict=True)
    }


@pytest.mark.parametrize(
    ("compiled", "device", "precision"),
    [
        (Compiled(EXECUTION_DEVICES=["NPU", "CPU"], DEVICE_PROPERTIES=both("float16", "float32")),
         "NPU,CPU", "f16+f32"),
        (Compiled(EXECUTION_DEVICES=["NPU", "CPU"], DEVICE_PROPERTIES=both("float32", "float32")),
         "NPU,CPU", "f32"),
        (Compiled(EXECUTION_DEVICES=["(CPU)"], DEVICE_PROPERTIES=both("float16", "float32")), "CPU", "f32"),
        (Compiled(EXECUTION_DEVICES=["GPU.0"], DEVICE_PROPERTIES={}), "GPU.0", "unknown"),
        (Compiled(EXECUTION_DEVICES="NPU"), "NPU", "unknown"),
    ],
)  # fmt: skip
def test_what_is_said_of_several_devices(compiled, device, precision) -> None:
    info = backend._session_info(Core(), compiled)
    assert (info.device, info.precision) == (device, precision)
    assert info.threads is None


@pytest.mark.parametrize(
    ("precision", "advice"),
    [
        ("f16", "ask for f16, or for 'engine'"),
        ("f16+f32", "ask for 'engine'"),
        ("unknown", "ask for 'engine'"),
    ],
)
def test_what_is_advised_is_accepted(precision, advice) -> None:
    """``f16+f32`` and ``unknown`` are nothing that one can ask for."""
    info = backend.SessionInfo("openvino", "NPU", "NPU", precision, None)
    with pytest.raises(EngineError, match=f"computes in .* when asked for f32; {advice}"):
        backend._check_precision(info, EngineOptions())
