"""OpenVINO: Intel, AMD and Arm CPUs, Intel GPUs and NPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import openvino as ov

from edgeblend.errors import EngineError
from edgeblend.manifest import GraphSpec
from edgeblend.runtime.backends.base import (
    Array,
    DeviceInfo,
    EngineInfo,
    EngineOptions,
    SessionInfo,
)

_HINT = "INFERENCE_PRECISION_HINT"
_PRECISIONS = {"f32": ov.Type.f32, "bf16": ov.Type.bf16, "f16": ov.Type.f16}
_LAYERS = ("Convolution", "MatMul", "FullyConnected")
_INT8 = ("i8", "u8")
_PRECISION_NAMES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class OpenVinoSession:
    """One graph compiled by OpenVINO, with one inference request."""

    def __init__(self, compiled: ov.CompiledModel, info: SessionInfo) -> None:
        self.info = info
        self._compiled: ov.CompiledModel | None = compiled
        self._request: ov.InferRequest | None = compiled.create_infer_request()
        self._types = {port.get_any_name(): port.element_type.to_dtype() for port in compiled.inputs}
        self._names = tuple(output.get_any_name() for output in compiled.outputs)

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the graph once; see :class:`edgeblend.runtime.backends.base.Session`."""
        if self._request is None:
            raise EngineError("this session was closed; load the bundle again")
        # OpenVINO would convert another type, and run with the last input again where one is missing.
        if {name: array.dtype for name, array in inputs.items()} != self._types:
            given = ", ".join(f"{name} ({array.dtype})" for name, array in inputs.items()) or "none"
            wanted = ", ".join(f"{name} ({dtype})" for name, dtype in self._types.items())
            raise EngineError(f"expected the inputs {wanted}, got {given}")
        try:
            # Shared both ways: inputs are read where they lie, outputs are views of the request's memory.
            results = self._request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on {self.info.device}: {_first_line(error)}") from error
        return dict(zip(self._names, results.values(), strict=True))

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
    core = _core()
    _check_device(core, options.device)
    _check_npu(options)
    try:
        model = core.read_model(files[0])
        compiled = core.compile_model(model, options.device, _properties(options))
        info = _session_info(core, compiled)
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO cannot compile {files[0].name} for {options.device}: {_first_line(error)}"
        ) from error
    _check_precision(info, options)
    return OpenVinoSession(
        compiled, _with_int8(compiled, info, options) if graph.precision == "int8" else info
    )


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


@cache
def _core() -> ov.Core:
    """The one core of this process.

    Its CPU plugin gives the thread that loads it another stack for signal handlers (AMX needs a larger
    one), and takes it back when unloaded. With several cores that come and go, the stack that is left can
    be one that was freed: the next Ctrl-C, or child process that ends, is then a segmentation fault
    (OpenVINO 2026.4.1).
    """
    return ov.Core()


def _check_device(core: ov.Core, device: str) -> None:
    # 'AUTO:GPU,CPU' and 'HETERO:...' name several devices after a colon; 'GPU' stands for 'GPU.0'.
    base, _, listed = device.partition(":")
    wanted = listed.split(",") if listed else [] if base in ("AUTO", "HETERO", "MULTI") else [base]
    available = core.available_devices
    known = {*available, *(name.partition(".")[0] for name in available)}
    if missing := [name for name in wanted if name.strip("-") not in known]:
        raise EngineError(
            f"device {', '.join(missing)} is not there; OpenVINO sees {', '.join(available) or 'none'} "
            "(`edgeblend doctor` shows them)"
        )


def _check_npu(options: EngineOptions) -> None:
    """Refuse what an Intel NPU does not have; its compiler would say it in other words, or not at all."""
    if options.device.partition(".")[0] != "NPU":
        return
    if options.precision not in ("f16", "engine"):
        raise EngineError(
            f"device {options.device} computes in f16 when asked for {options.precision}; ask for f16, or "
            "for 'engine' to accept whatever it takes"
        )
    if options.threads is not None:
        raise EngineError(f"device {options.device} has no CPU threads to choose; leave threads out")


def _properties(options: EngineOptions) -> dict[str, Any]:
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY" if options.streams == 1 else "THROUGHPUT"}
    if options.streams > 1:
        properties["NUM_STREAMS"] = options.streams
    if options.precision != "engine":
        properties[_HINT] = _PRECISIONS[options.precision]
    if options.threads is not None:
        properties["INFERENCE_NUM_THREADS"] = options.threads
    if options.cache_dir is not None:
        properties["CACHE_DIR"] = str(options.cache_dir)
    return {**properties, **options.properties}


def _session_info(core: ov.Core, compiled: ov.CompiledModel) -> SessionInfo:
    executing = compiled.get_property("EXECUTION_DEVICES")
    devices = [executing] if isinstance(executing, str) else list(executing)  # the NPU's plugin has one
    supported = set(compiled.get_property("SUPPORTED_PROPERTIES"))
    precision = compiled.get_property(_HINT).get_type_name() if _HINT in supported else "unknown"
    threads = (
        int(compiled.get_property("INFERENCE_NUM_THREADS")) if "INFERENCE_NUM_THREADS" in supported else None
    )
    return SessionInfo(
        engine=f"openvino {_version()}",
        device=",".join(devices),
        device_name=", ".join(str(core.get_property(device, "FULL_DEVICE_NAME")) for device in devices),
        precision=_PRECISION_NAMES.get(precision, precision),
        threads=threads,
    )


def _check_precision(info: SessionInfo, options: EngineOptions) -> None:
    if options.precision not in ("engine", info.precision):
        raise EngineError(
            f"device {info.device} computes in {info.precision} when asked for {options.precision}; "
            f"ask for {info.precision}, or for 'engine' to accept whatever it takes"
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


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # The last line of OpenVINO's message is the cause; those before it say where it was thrown.
    return lines[-1] if lines else type(error).__name__
