"""ONNX Runtime: CPUs of any maker, and accelerators through the execution providers of the installed build.

A device is an execution provider's name, with or without ``ExecutionProvider``, in any case: ``CPU``,
``CUDA``, ``TensorRT``, ``OpenVINO``, ``QNN``, ``CoreML``, ``DirectML`` and so on. Properties are the
provider's own options (``device_id``); those with a dot in their name are ONNX Runtime's session options
(``session.*``, ``ep.*``, ``optimization.*``, ``mlas.*``), which it does not check.

A provider must take the whole graph: ``session.disable_cpu_ep_fallback=0`` among the properties lets ONNX
Runtime compute on the CPU what it leaves, and ``info`` then says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

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
from edgeblend.runtime.backends.onnxruntime_optimized import optimized_model
from edgeblend.runtime.backends.processor import processor_name

_SUFFIX = "ExecutionProvider"
_NAMES = {"Tensorrt": "TensorRT", "Dml": "DirectML", "Xnnpack": "XNNPACK", "Nnapi": "NNAPI"}
"""What providers are called where it is not what stands before the suffix."""
_REMOTE = ("AzureExecutionProvider",)
"""Send tensors to a service; they take no graph."""

_FLOAT32: dict[str, dict[str, str]] = {"CPU": {}, "CUDA": {"use_tf32": "0"}}
"""Providers that compute float graphs in float32, and the options for it: CUDA's would round products."""
_CACHES = {
    "TensorRT": {"trt_engine_cache_enable": "1", "trt_engine_cache_path": "{}"},
    "OpenVINO": {"cache_dir": "{}"},
    "CoreML": {"ModelCacheDirectory": "{}"},
    "MIGraphX": {"migraphx_model_cache_dir": "{}"},
}
"""Options of those providers that keep compiled graphs in a folder."""

_NO_FALLBACK, _RECORD = "session.disable_cpu_ep_fallback", "session.record_ep_graph_assignment_info"
_SESSION = {
    # Threads that wait for work of one graph would take the processor from the other.
    "session.force_spinning_stop": "1",
    _RECORD: "1",
}
_ERRORS_ALONE = 3
_ALTERS = {"WeightBiasQuantization"}
"""Optimizations that change results: this one rounds weights that a quantized graph keeps in float."""

_INT8_LAYERS = ("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger")

_Key = tuple[tuple[str, tuple[int, ...], str], ...]


class OnnxRuntimeSession:
    """One graph that ONNX Runtime has optimized, with memory of its own for what comes out."""

    def __init__(self, session: ort.InferenceSession, info: SessionInfo) -> None:
        self.info = info
        self.inputs = {value.name: _tensor_info(value) for value in session.get_inputs()}
        self.outputs = {value.name: _tensor_info(value) for value in session.get_outputs()}
        self._session: ort.InferenceSession | None = session
        self._outputs = tuple(self.outputs)
        self._binding = session.io_binding()
        self._key: _Key | None = None
        self._results: dict[str, Array] = {}

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the graph once; see :class:`edgeblend.runtime.backends.base.Session`."""
        if self._session is None:
            raise EngineError("this session was closed; load the bundle again")
        if inputs.keys() != self.inputs.keys():
            raise EngineError(
                f"the graph takes {', '.join(self.inputs)}, got {', '.join(inputs) or 'nothing'}"
            )
        arrays = {name: np.ascontiguousarray(inputs[name]) for name in self.inputs}
        key = tuple((name, array.shape, array.dtype.str) for name, array in arrays.items())
        with engine_errors(f"ONNX Runtime failed on {self.info.device}", _reason):
            if key == self._key:
                self._run_in_place(arrays)
            else:
                self._run_anew(arrays)
                self._key = key
        return dict(self._results)

    def fork(self) -> OnnxRuntimeSession:
        """Return a session over the same optimized graph; both can run at the same time."""
        if self._session is None:
            raise EngineError("this session was closed; load the bundle again")
        return OnnxRuntimeSession(self._session, self.info)

    def close(self) -> None:
        """Release the graph, once all forks are closed, too."""
        self._session = self._binding = self._key = None
        self._results = {}

    def _run_anew(self, inputs: Mapping[str, Array]) -> None:
        """Run for shapes that were not seen before, and keep the outputs to write the next into."""
        assert self._session is not None
        self._key = None  # should it fail, the outputs there are of no use
        outputs = self._session.run(self._outputs, dict(inputs))
        self._results = dict(zip(self._outputs, outputs, strict=True))
        for name, array in self._results.items():
            self._binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def _run_in_place(self, inputs: Mapping[str, Array]) -> None:
        """Run with inputs read where they lie, and outputs written over the last ones."""
        assert self._session is not None
        for name, array in inputs.items():
            self._binding.bind_cpu_input(name, array)
        self._session.run_with_iobinding(self._binding)


def open_session(graph: GraphSpec, files: Sequence[Path], options: EngineOptions) -> OnnxRuntimeSession:
    """Open an ONNX file; see :class:`edgeblend.runtime.backends.base.Backend`.

    On the CPU, and with providers that compile nothing, there is nothing to keep in ``cache_dir``.
    """
    if graph.format != "onnx":
        raise EngineError(f"ONNX Runtime opens graphs of format 'onnx', this one is {graph.format!r}")
    quantized = graph.precision in ("int8", "int8-dynamic")
    session = model_session(files[0], options, quantized=quantized)
    if quantized and options.precision != "engine":
        _check_int8(session.info, graph)
    return session


def model_session(
    model: Path | bytes, options: EngineOptions | None = None, *, quantized: bool = False
) -> OnnxRuntimeSession:
    """Open an ONNX graph, whatever is stored in it.

    Args:
        model: the file, or its content.
        options: as for :func:`open_session`.
        quantized: look whether it is computed in integers, by what ONNX Runtime has made of it.

    Raises:
        EngineError: the device is not there, or does not take the graph or the options.
    """
    options = options or EngineOptions()
    provider = _provider(options.device)
    device = _short(provider)
    _check_precision(device, options)
    own = _provider_options(device, options)
    name = model.name if isinstance(model, Path) else "the graph"
    with engine_errors(f"ONNX Runtime cannot open {name} for {device}", _reason):
        settings = _session_options(device, options)
        cache = cache_locked(options.cache_dir if device in _CACHES else None)
        with cache, optimized_model() if quantized else nullcontext() as optimized:
            if optimized is not None:
                settings.optimized_model_filepath = optimized.path
            session = ort.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                settings,
                providers=[(provider, own)],
                enable_fallback=0,
                disabled_optimizers=_ALTERS,
            )
            in_int8 = optimized is not None and optimized.has_layers(_INT8_LAYERS)
        if provider in session.get_providers():
            return OnnxRuntimeSession(session, _info(session, device, options, in_int8=in_int8))
    raise EngineError(
        f"ONNX Runtime left {device} out for {name}, most likely because a library that the provider "
        "needs is not there; `onnxruntime.InferenceSession` alone shows its warnings"
    )


def engine_info() -> EngineInfo:
    """Return ONNX Runtime's version and the providers of the installed build.

    That a provider is in the build does not mean that its hardware is there.
    """
    names = [_short(provider) for provider in ort.get_available_providers() if provider not in _REMOTE]
    precisions = {"CPU": ("f32", "int8"), "CUDA": ("f32",)}
    devices = tuple(DeviceInfo(name, _device_name(name), precisions.get(name, ())) for name in sorted(names))
    return EngineInfo(str(ort.__version__), devices)


def _provider(device: str) -> str:
    """Return the provider that a device's name means."""
    there = [provider for provider in ort.get_available_providers() if provider not in _REMOTE]
    wanted = device.lower()
    for provider in there:
        if wanted in {provider.lower(), provider.removesuffix(_SUFFIX).lower(), _short(provider).lower()}:
            return str(provider)
    raise EngineError(
        f"device {device} is not there; this build of ONNX Runtime has "
        f"{', '.join(sorted(_short(provider) for provider in there))}; others come in packages of their own, "
        "such as onnxruntime-gpu"
    )


def _short(provider: str) -> str:
    name = provider.removesuffix(_SUFFIX)
    return _NAMES.get(name, name)


def _check_precision(device: str, options: EngineOptions) -> None:
    if options.precision == "engine":
        return
    if options.precision != "f32":
        raise EngineError(
            f"ONNX Runtime computes in what a graph is stored in, f32 or int8, not in {options.precision}; "
            "ask for f32, or for 'engine' to accept what a provider's own options make of it"
        )
    if device not in _FLOAT32:
        raise EngineError(
            f"ONNX Runtime does not say whether {device} computes in f32, as was asked for; ask for 'engine' "
            "to accept whatever it takes"
        )


def _session_options(device: str, options: EngineOptions) -> ort.SessionOptions:
    settings = ort.SessionOptions()
    settings.log_severity_level = _ERRORS_ALONE
    settings.intra_op_num_threads = _threads(options)
    entries = {**_SESSION, _NO_FALLBACK: "0" if device == "CPU" else "1"}
    entries |= {name: value for name, value in options.properties.items() if "." in name}
    for name, value in entries.items():
        settings.add_session_config_entry(name, str(value))
    return settings


def _threads(options: EngineOptions) -> int:
    """Return the threads for one run, that which calls it included.

    Runs at the same time share all but those that call them.
    """
    return max(options.cpu_threads - options.streams + 1, 1)


def _provider_options(device: str, options: EngineOptions) -> dict[str, str]:
    given = {name: str(value) for name, value in options.properties.items() if "." not in name}
    if device == "CPU" and given:
        raise EngineError(
            f"ONNX Runtime's CPU provider has no property {', '.join(given)}; session options have a dot in "
            "their name, such as session.intra_op.allow_spinning"
        )
    precise = _FLOAT32.get(device, {}) if options.precision == "f32" else {}
    if contradicted := [name for name, value in precise.items() if given.get(name, value) != value]:
        raise EngineError(
            f"the property {contradicted[0]}={given[contradicted[0]]} is not f32, as was asked for; ask for "
            "'engine' to accept it"
        )
    cache = _CACHES.get(device, {}) if options.cache_dir is not None else {}
    kept = {name: value.format(options.cache_dir) for name, value in cache.items()}
    return {**precise, **kept, **given}


def _info(
    session: ort.InferenceSession, device: str, options: EngineOptions, *, in_int8: bool
) -> SessionInfo:
    others = {_short(part.ep_name) for part in session.get_provider_graph_assignment_info()} - {device}
    certain = device == "CPU" or (device in _FLOAT32 and options.precision == "f32")
    precision = "f32" if certain else "unknown"
    return SessionInfo(
        engine=f"onnxruntime {ort.__version__}",
        device=",".join([device, *sorted(others)]),
        device_name=_device_name(device),
        precision=f"int8+{precision}" if in_int8 else precision,
        threads=_threads(options) + options.streams - 1,
    )


def _tensor_info(value: Any) -> TensorInfo:  # noqa: ANN401 - a NodeArg, which has no public name
    """Return what ONNX Runtime says of a tensor, such as ``tensor(float)``; open sides have names."""
    kind = str(value.type).removeprefix("tensor(").removesuffix(")")
    shape = tuple(side if isinstance(side, int) else None for side in value.shape)
    return TensorInfo(shape, {"float": "float32", "double": "float64"}.get(kind, kind))


def _check_int8(info: SessionInfo, graph: GraphSpec) -> None:
    """Refuse a quantized graph that runs in float: what cannot be fused falls back to it without a word."""
    if not info.precision.startswith("int8"):
        raise EngineError(
            f"device {info.device} computes none of this {graph.precision} graph's layers in int8, but all "
            f"in {info.precision}; take the float bundle there, or ask for 'engine' to accept it"
        )


def _device_name(device: str) -> str:
    if device == "CPU":
        return processor_name()
    found: list[Any] = [entry for entry in ort.get_ep_devices() if _short(entry.ep_name) == device]
    named = [entry.device.metadata.get("Description") or entry.device.vendor for entry in found]
    return next((str(name) for name in named if name), f"{device} through ONNX Runtime")


def _reason(error: Exception) -> str:
    """Return ONNX Runtime's message on one line, without the code before it."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    return " ".join(text.split()) or type(error).__name__
