"""OpenVINO: Intel, AMD and Arm CPUs, Intel GPUs and NPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import openvino as ov

from edgeblend.errors import EngineError
from edgeblend.manifest import GraphSpec
from edgeblend.runtime.backends.base import (
    Array,
    DeviceInfo,
    EngineInfo,
    EngineOptions,
    SessionInfo,
    TensorInfo,
    engine_errors,
)
from edgeblend.runtime.backends.cache_lock import cache_locked

_HINT, _THREADS = "INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS"
_PRECISIONS = {"f32": ov.Type.f32, "bf16": ov.Type.bf16, "f16": ov.Type.f16}
_LAYERS = ("Convolution", "MatMul", "FullyConnected")
_INT8 = ("i8", "u8")
_PRECISION_NAMES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}

_VIRTUAL = ("AUTO", "HETERO", "MULTI", "BATCH")
"""Devices that hand work on to others, listed behind a colon; AUTO finds its own where none are."""


class OpenVinoSession:
    """One graph compiled by OpenVINO, with one inference request."""

    def __init__(self, compiled: ov.CompiledModel, info: SessionInfo) -> None:
        self.info = info
        self.inputs = {port.get_any_name(): _tensor_info(port) for port in compiled.inputs}
        self.outputs = {port.get_any_name(): _tensor_info(port) for port in compiled.outputs}
        self._compiled: ov.CompiledModel | None = compiled
        self._request: ov.InferRequest | None = compiled.create_infer_request()
        self._types = {name: entry.dtype for name, entry in self.inputs.items()}

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the graph once; see :class:`edgeblend.runtime.backends.base.Session`."""
        if self._request is None:
            raise EngineError("this session was closed; load the bundle again")
        # OpenVINO would convert another type, and run with the last input again where one is missing.
        if {name: array.dtype.name for name, array in inputs.items()} != self._types:
            given = ", ".join(f"{name} ({array.dtype})" for name, array in inputs.items()) or "none"
            wanted = ", ".join(f"{name} ({dtype})" for name, dtype in self._types.items())
            raise EngineError(f"expected the inputs {wanted}, got {given}")
        with engine_errors(f"OpenVINO failed on {self.info.device}", _last_line):
            # Shared both ways: inputs are read where they lie, outputs are views of the request's memory.
            results = self._request.infer(dict(inputs), share_inputs=True, share_outputs=True)
            return dict(zip(self.outputs, results.values(), strict=True))

    def fork(self) -> OpenVinoSession:
        """Return a session with an inference request of its own."""
        if self._compiled is None:
            raise EngineError("this session was closed; load the bundle again")
        return OpenVinoSession(self._compiled, self.info)

    def close(self) -> None:
        """Release the compiled graph."""
        self._request = self._compiled = None


def open_session(graph: GraphSpec, files: Sequence[Path], options: EngineOptions) -> OpenVinoSession:
    """Compile an OpenVINO IR; see :class:`edgeblend.runtime.backends.base.Backend`."""
    if graph.format != "openvino-ir":
        raise EngineError(f"OpenVINO opens graphs of format 'openvino-ir', this one is {graph.format!r}")
    device = options.device.upper()
    with engine_errors(f"OpenVINO cannot compile {files[0].name} for {device}", _last_line):
        core = _core()
        _check_device(core, device)
        _check_npu(device, options)
        model, properties = core.read_model(files[0]), _properties(options)
        with cache_locked(Path(properties["CACHE_DIR"]) if "CACHE_DIR" in properties else None):
            compiled = core.compile_model(model, device, properties)
        info = _session_info(core, compiled)
        _check_precision(info, options)
        if graph.precision == "int8":
            info = _with_int8(compiled, info, options)
        return OpenVinoSession(compiled, info)


def compile_model(model: ov.Model) -> ov.CompiledModel:
    """Compile a graph that lies in no file, as :func:`open_session` does with its default options."""
    return _core().compile_model(model, "CPU", _properties(EngineOptions()))


def compiled_session(compiled: ov.CompiledModel) -> OpenVinoSession:
    """Return a session over a graph that is compiled already."""
    return OpenVinoSession(compiled, _session_info(_core(), compiled))


def layer_precisions(compiled: ov.CompiledModel) -> dict[str, str]:
    """Return what each convolution and matrix product really runs in, such as ``f32`` or ``u8``, by its name.

    As the engine says after fusing; a layer whose name was fused into another's goes by both.
    """
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in _LAYERS:
            precision = facts["runtimePrecision"].astype(str)
            found.update(dict.fromkeys(facts["originalLayersNames"].astype(str).split(","), precision))
    return found


def engine_info() -> EngineInfo:
    """Return OpenVINO's version and the devices it sees here."""
    core = _core()
    devices = tuple(
        DeviceInfo(
            device,
            str(core.get_property(device, "FULL_DEVICE_NAME")),
            tuple(str(name) for name in core.get_property(device, "OPTIMIZATION_CAPABILITIES")),
        )
        for device in core.available_devices
    )
    return EngineInfo(_version(), devices)


_loading = Lock()


def _core() -> ov.Core:
    """Return the one core of this process; two threads that ask first at once must not make two."""
    with _loading:
        return _only_core()


@cache
def _only_core() -> ov.Core:
    """Make a core, once.

    Its CPU plugin gives the thread that loads it another stack for signal handlers (AMX needs a larger
    one), and takes it back when unloaded. With several cores that come and go, the stack that is left can
    be one that was freed: the next Ctrl-C, or child process that ends, is then a segmentation fault
    (OpenVINO 2026.4.1).
    """
    return ov.Core()


def _check_device(core: ov.Core, device: str) -> None:
    # 'AUTO:GPU,CPU' names several devices, 'BATCH:GPU(4)' a batch; 'GPU' stands for 'GPU.0'.
    base, _, listed = device.partition(":")
    if base in _VIRTUAL and base != "AUTO" and not listed:
        raise EngineError(f"device {device} names no device to compute on; write such as {base}:CPU")
    # 'AUTO:-GPU' leaves out a device, which need not be there.
    wanted = [name for name in listed.split(",") if name.strip("-")] if base in _VIRTUAL else [device]
    wanted = [name for name in wanted if base != "AUTO" or not name.startswith("-")]
    available = core.available_devices
    known = {*available, *(name.partition(".")[0] for name in available)}
    if missing := [name for name in wanted if name.strip("-").partition("(")[0] not in known]:
        raise EngineError(
            f"device {', '.join(missing)} is not there; OpenVINO sees {', '.join(available) or 'none'} "
            "(`edgeblend doctor` shows them)"
        )


def _check_npu(device: str, options: EngineOptions) -> None:
    """Refuse what an Intel NPU does not have; its compiler would say it in other words, or not at all."""
    if device.partition(".")[0] != "NPU":
        return
    if options.precision not in ("f16", "engine"):
        raise EngineError(
            f"device {device} computes in f16 when asked for {options.precision}; ask for f16, or "
            "for 'engine' to accept whatever it takes"
        )
    if options.threads is not None:
        raise EngineError(f"device {device} has no CPU threads to choose; leave threads out")


def _properties(options: EngineOptions) -> dict[str, Any]:
    """Return what OpenVINO is asked for.

    Without a number of threads it takes one per core that this process may use, as every engine here does,
    and knows which cores of a hybrid processor to leave out; so it is not told one.
    """
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY" if options.streams == 1 else "THROUGHPUT"}
    if options.streams > 1:
        properties["NUM_STREAMS"] = options.streams
    if options.precision != "engine":
        properties[_HINT] = _PRECISIONS[options.precision]
    if options.threads is not None:
        properties[_THREADS] = options.threads
    if options.cache_dir is not None:
        properties["CACHE_DIR"] = str(options.cache_dir)
    return {**properties, **options.properties}


def _session_info(core: ov.Core, compiled: ov.CompiledModel) -> SessionInfo:
    executing = compiled.get_property("EXECUTION_DEVICES")
    listed = [executing] if isinstance(executing, str) else list(executing)  # the NPU's plugin has one
    devices = [device.strip("()") for device in listed]  # '(CPU)' computes until another is ready
    each = _executing(compiled, devices)
    hints = dict.fromkeys(facts[_HINT].get_type_name() if _HINT in facts else "unknown" for facts in each)
    threads = [int(facts[_THREADS]) for facts in each if _THREADS in facts]
    return SessionInfo(
        engine=f"openvino {_version()}",
        device=",".join(devices),
        device_name=", ".join(str(core.get_property(device, "FULL_DEVICE_NAME")) for device in devices),
        precision="+".join(_PRECISION_NAMES.get(name, name) for name in hints),
        threads=sum(threads) if threads else None,
    )


def _executing(compiled: ov.CompiledModel, devices: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the precision and threads of each device that computes, under OpenVINO's names.

    A virtual device has none of its own; it tells those of the devices it hands work to.
    """
    supported = set(compiled.get_property("SUPPORTED_PROPERTIES"))
    if _HINT in supported:
        return [{name: compiled.get_property(name) for name in (_HINT, _THREADS) if name in supported}]
    try:
        told: Mapping[str, Mapping[str, Any]] = compiled.get_property("DEVICE_PROPERTIES")
    except Exception:  # noqa: BLE001 - a plugin that has no such property: nothing is known
        return [{}]
    return [told.get(device, {}) for device in devices]


def _tensor_info(port: ov.ConstOutput) -> TensorInfo:
    shape = tuple(None if side.is_dynamic else side.get_length() for side in port.get_partial_shape())
    return TensorInfo(shape, np.dtype(port.element_type.to_dtype()).name)


def _check_precision(info: SessionInfo, options: EngineOptions) -> None:
    if options.precision not in ("engine", info.precision):
        other = f"{info.precision}, or for " if info.precision in _PRECISIONS else ""
        raise EngineError(
            f"device {info.device} computes in {info.precision} when asked for {options.precision}; "
            f"ask for {other}'engine' to accept whatever it takes"
        )


def _with_int8(compiled: ov.CompiledModel, info: SessionInfo, options: EngineOptions) -> SessionInfo:
    """Return the info of a quantized graph, whose layers may fall back to float one by one without a word."""
    layers = layer_precisions(compiled)
    if any(precision in _INT8 for precision in layers.values()):
        return replace(info, precision=f"int8+{info.precision}")
    if options.precision == "engine":
        return info
    what = (
        f"computes none of this int8 graph's layers in int8, but all in {info.precision}; take the float "
        "bundle there"
        if layers
        else "does not tell which of this int8 graph's layers it computes in int8; measure it there"
    )
    raise EngineError(f"device {info.device} {what}, or ask for 'engine' to accept it")


def _version() -> str:
    return str(ov.__version__).partition("-")[0]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # The last line of OpenVINO's message is the cause; those before it say where it was thrown.
    return lines[-1] if lines else type(error).__name__
