"""What only ONNX Runtime does; tests of all engines are the contract's."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import GraphBuilder  # noqa: E402 - as above

from edgeblend.errors import EngineError  # noqa: E402
from edgeblend.manifest import GraphSpec  # noqa: E402
from edgeblend.runtime.backends import base  # noqa: E402
from edgeblend.runtime.backends import onnxruntime as backend  # noqa: E402
from edgeblend.runtime.backends.base import EngineOptions  # noqa: E402
from edgeblend.runtime.backends.processor import usable_cores  # noqa: E402

GRAPHS = {
    name: GraphSpec(format="onnx", precision=name, files=(), inputs=(), outputs=())
    for name in ("fp32", "int8", "int8-dynamic")
}


def doubling(*shape: int | str):
    """y = 2 x"""
    build = GraphBuilder()
    y = build.node("Mul", "x", build.constant(np.float32(2)))
    return build.build({"x": ("float32", shape or (1, 4))}, {"y": y})


def convolution(*, before: bool = True, weights: bool = True, after: bool = True):
    """A layer of a quantized graph, in which what is switched off was forgotten."""
    build = GraphBuilder()
    x = build.rounded("x", 0.05, 100) if before else "x"
    weight = build.constant(np.random.default_rng(0).integers(-60, 60, (4, 3, 3, 3)).astype(np.int8))
    scale = build.constant(np.full(4, 0.01, np.float32)), build.constant(np.zeros(4, np.int8))
    values = build.node("DequantizeLinear", weight, *scale, axis=0)
    if not weights:
        values = build.constant(np.ones((4, 3, 3, 3), np.float32))
    y = build.node("Conv", x, values, name="layer", pads=[1, 1, 1, 1])
    return build.build({"x": ("float32", (1, 3, 8, 8))}, {"y": build.rounded(y, 0.1, 128) if after else y})


@pytest.fixture
def write(tmp_path):
    def write(model) -> list[Path]:
        path = tmp_path / "graph.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return [path]

    return write


@pytest.fixture
def opened(write):
    def open_graph(model=None, stored: str = "fp32", **options):
        files = write(doubling() if model is None else model)
        return backend.open_session(GRAPHS[stored], files, EngineOptions(**options))

    return open_graph


def x(*values):
    return {"x": np.array([values], np.float32)}


# Devices


@pytest.mark.parametrize("device", ["CPU", "cpu", "CPUExecutionProvider", "cpuexecutionprovider"])
def test_a_device_is_a_provider_in_any_case(device, opened):
    assert opened(device=device).info.device == "CPU"


@pytest.mark.parametrize(
    ("device", "provider"),
    [
        ("CUDA", "CUDAExecutionProvider"),
        ("tensorrt", "TensorrtExecutionProvider"),
        ("DirectML", "DmlExecutionProvider"),
        ("dml", "DmlExecutionProvider"),
        ("OpenVINO", "OpenVINOExecutionProvider"),
        ("qnn", "QNNExecutionProvider"),
        ("CoreML", "CoreMLExecutionProvider"),
    ],
)
def test_names_of_devices(device, provider, monkeypatch):
    there = ["CPUExecutionProvider", provider]
    monkeypatch.setattr(backend.ort, "get_available_providers", lambda: there)
    assert backend._provider(device) == provider


@pytest.mark.parametrize("device", ["CUDA", "GPU", "Azure", "CPU:1", ""])
def test_a_device_that_is_not_there(device, opened):
    with pytest.raises(EngineError, match=rf"device {device} is not there; this build .* has .*CPU"):
        opened(device=device)


def test_a_provider_that_does_not_come_up_is_not_replaced_by_the_cpu(opened, monkeypatch):
    """As with a build that has it, on a machine without the libraries or the hardware that it needs."""
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(backend.ort, "get_available_providers", lambda: there)
    with pytest.warns(UserWarning, match="CUDA"), pytest.raises(EngineError, match="CUDA"):
        opened(device="CUDA")
    allowed = {"session.disable_cpu_ep_fallback": "0"}
    with pytest.warns(UserWarning, match="CUDA"), pytest.raises(EngineError, match="left CUDA out"):
        opened(device="CUDA", properties=allowed)


def test_the_cpu_alone_may_compute_on_the_cpu():
    cpu, cuda = (backend._session_options(device, EngineOptions()) for device in ("CPU", "CUDA"))
    asked = EngineOptions(properties={"session.disable_cpu_ep_fallback": "0", "device_id": "1"})
    entry = "session.disable_cpu_ep_fallback"
    assert [one.get_session_config_entry(entry) for one in (cpu, cuda)] == ["0", "1"]
    assert backend._session_options("CUDA", asked).get_session_config_entry(entry) == "0"
    assert backend._provider_options("CUDA", asked) == {"use_tf32": "0", "device_id": "1"}


def test_engine_info_lists_what_takes_graphs(monkeypatch):
    there = ["AzureExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(backend.ort, "get_available_providers", lambda: there)
    devices = {device.device: device.precisions for device in backend.engine_info().devices}
    assert devices == {"CPU": ("f32", "int8"), "TensorRT": ()}


# Options


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_it_computes_in_what_is_stored(precision, opened):
    with pytest.raises(EngineError, match=f"f32 or int8, not in {precision}; ask for f32"):
        opened(precision=precision)
    assert opened(precision="engine").info.precision == "f32"


def test_a_provider_that_may_round_is_not_asked_for_f32(opened, monkeypatch):
    there = ["QNNExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(backend.ort, "get_available_providers", lambda: there)
    with pytest.raises(EngineError, match="does not say whether QNN computes in f32.*'engine'"):
        opened(device="QNN")


def test_products_that_are_rounded_are_not_f32():
    rounded = EngineOptions(properties={"use_tf32": "1"})
    with pytest.raises(EngineError, match="property use_tf32=1 is not f32"):
        backend._provider_options("CUDA", rounded)
    accepted = EngineOptions(properties={"use_tf32": "1"}, precision="engine")
    assert backend._provider_options("CUDA", accepted) == {"use_tf32": "1"}


def test_the_cpu_has_session_options_alone(opened):
    assert opened(properties={"session.intra_op.allow_spinning": "0"}).run(x(1, 2, 3, 4))
    with pytest.raises(
        EngineError, match="CPU provider has no property device_id; session options have a dot"
    ):
        opened(properties={"device_id": "0"})


@pytest.mark.parametrize(
    ("device", "options"),
    [
        ("TensorRT", {"trt_engine_cache_enable": "1", "trt_engine_cache_path": "kept"}),
        ("OpenVINO", {"cache_dir": "kept"}),
        ("CPU", {}),
    ],
)
def test_compiled_graphs_are_kept_where_there_are_any(device, options):
    kept, not_kept = (EngineOptions(cache_dir=place, precision="engine") for place in (Path("kept"), None))
    assert backend._provider_options(device, kept) == options
    assert backend._provider_options(device, not_kept) == {}


@pytest.mark.parametrize(
    ("threads", "streams", "each"),
    [(None, 1, 6), (None, 2, 5), (3, 1, 3), (4, 2, 3), (2, 2, 1), (2, 5, 1), (1, 1, 1)],
)
def test_runs_at_the_same_time_share_the_threads(threads, streams, each, monkeypatch):
    """Each has the one that calls it for itself."""
    monkeypatch.setattr(base, "usable_cores", lambda: 6)
    settings = backend._session_options("CPU", EngineOptions(threads=threads, streams=streams))
    assert settings.intra_op_num_threads == each


def test_info(opened):
    info = opened(threads=1).info
    assert info.engine.startswith("onnxruntime 1.")
    assert (info.device, info.precision, info.threads) == ("CPU", "f32", 1)
    assert info.device_name
    assert opened().info.threads == usable_cores()
    assert opened(threads=2, streams=4).info.threads == 4  # each stream has the thread that calls it


# INT8


@pytest.mark.parametrize("stored", ["int8", "int8-dynamic"])
def test_a_layer_in_integers_is_seen(stored, opened):
    assert opened(convolution(), stored).info.precision == "int8+f32"


@pytest.mark.parametrize("forgotten", ["before", "weights", "after"])
def test_a_layer_that_falls_back_to_float_is_refused(forgotten, opened):
    """It would run, only slower than the float graph: with weights in INT8, but computed in float."""
    broken = convolution(**{forgotten: False})
    with pytest.raises(EngineError, match=r"computes none of this int8 graph's layers in int8.*'engine'"):
        opened(broken, "int8")
    assert opened(broken, "int8", precision="engine").info.precision == "f32"


# Running


def test_outputs_are_overwritten_by_the_next_run(opened):
    session = opened()
    first = session.run(x(1, 2, 3, 4))["y"]
    second = session.run(x(5, 6, 7, 8))["y"]
    assert second is first
    assert first.tolist() == [[10, 12, 14, 16]]


def test_a_fork_has_memory_of_its_own_and_outlives_the_first(opened):
    session = opened()
    fork = session.fork()
    kept = session.run(x(1, 2, 3, 4))["y"]
    assert fork.run(x(5, 6, 7, 8))["y"].tolist() == [[10, 12, 14, 16]]
    assert kept.tolist() == [[2, 4, 6, 8]]
    session.close()
    assert fork.run(x(1, 1, 1, 1))["y"].tolist() == [[2, 2, 2, 2]]
    for use in (lambda: session.run(x(1, 2, 3, 4)), session.fork):
        with pytest.raises(EngineError, match="this session was closed"):
            use()


def test_shapes_may_change_where_they_are_open(opened):
    session = opened(doubling("rows", 2))
    for rows in (1, 3, 3, 1):
        given = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
        np.testing.assert_array_equal(session.run({"x": given})["y"], 2 * given)


def test_it_runs_in_two_threads_at_once(opened):
    sessions = [opened(threads=1), opened(threads=1)]
    sessions.append(sessions[0].fork())
    wrong = []

    def work(session, value):
        for _ in range(50):
            if (session.run(x(*[value] * 4))["y"] != 2 * value).any():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(sessions, (1, 2, 3), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "the graph takes x, got nothing"),
        ({"y": np.zeros((1, 4), np.float32)}, "the graph takes x, got y"),
        ({"x": np.zeros((1, 5), np.float32)}, "failed on CPU: Got invalid dimensions"),
        ({"x": np.zeros((1, 4), np.float64)}, "failed on CPU: Unexpected input data type"),
    ],
)
def test_inputs_that_the_graph_does_not_take(inputs, words, opened):
    session = opened()
    session.run(x(1, 2, 3, 4))
    with pytest.raises(EngineError, match=words) as raised:
        session.run(inputs)
    assert "\n" not in str(raised.value) and "ONNXRuntimeError" not in str(raised.value)
    assert session.run(x(1, 2, 3, 4))["y"].tolist() == [[2, 4, 6, 8]]


def test_files_that_are_no_graphs(write, tmp_path):
    for files in (write(b"<net"), [tmp_path / "nowhere.onnx"]):
        with pytest.raises(EngineError, match=rf"cannot open {files[0].name} for CPU: ") as raised:
            backend.open_session(GRAPHS["fp32"], files, EngineOptions())
        assert "\n" not in str(raised.value)


def test_a_graph_of_another_format(write):
    graph = GraphSpec(format="openvino-ir", precision="fp32", files=(), inputs=(), outputs=())
    with pytest.raises(EngineError, match="opens graphs of format 'onnx', this one is 'openvino-ir'"):
        backend.open_session(graph, write(doubling()), EngineOptions())


def test_it_keeps_quiet(opened, capfd):
    opened(convolution(), "int8").run({"x": np.zeros((1, 3, 8, 8), np.float32)})
    assert capfd.readouterr() == ("", "")
