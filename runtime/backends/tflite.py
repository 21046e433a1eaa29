"""TFLite, now LiteRT: CPUs through XNNPACK, accelerators through delegate libraries.

Two packages have the same interpreter: ``ai_edge_litert``, and ``tflite_runtime`` on older systems. The first
that is installed is taken; the property ``interpreter`` names one.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgeblend.errors import EngineError, MissingPackageError
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
from edgeblend.runtime.backends.processor import processor_name
from edgeblend.runtime.backends.tflite_graph import check_graph

FORMATS = ("tflite", "tflite-ethos-u")
"""What Vela compiled is a TFLite file, too; it runs where a delegate knows its operator."""

_INTERPRETERS = {"ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}
"""Package to the name that it is installed by; the first that is there is taken."""

_CPU = "CPU"
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_DELEGATE = "DELEGATE"
"""What the interpreter calls a node that stands for those a delegate took."""

Interpreter = Any
"""Of either package."""

_Made = tuple[Interpreter, int]
"""An interpreter that is ready, and how many operators its delegates have taken."""

Operators = list[dict[str, Any]]
"""The interpreter's own description: ``op_name``, and the tensors of ``inputs`` and ``outputs``."""


class TfliteSession:
    """One graph in one interpreter."""

    def __init__(self, make: Callable[[], _Made], interpreter: Interpreter, info: SessionInfo) -> None:
        """Take an interpreter that is ready, and what makes another like it."""
        self.info = info
        self._make, self._interpreter = make, interpreter
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        self.inputs = {entry["name"]: _tensor_info(entry) for entry in inputs}
        self.outputs = {entry["name"]: _tensor_info(entry) for entry in outputs}
        self._inputs = {entry["name"]: entry for entry in inputs}
        self._outputs = {entry["name"]: entry["index"] for entry in outputs}

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the graph once; see :class:`edgeblend.runtime.backends.base.Session`.

        The outputs are owned copies: the interpreter does not run while somebody holds a view of its memory.
        """
        if self._interpreter is None:
            raise EngineError("this session was closed; load the bundle again")
        if inputs.keys() != self._inputs.keys():
            raise EngineError(
                f"the graph takes {', '.join(self._inputs)}, got {', '.join(inputs) or 'nothing'}"
            )
        with engine_errors(f"TFLite failed on {self.info.device}", _one_line):
            for name, array in inputs.items():
                self._set(name, array)
            self._interpreter.invoke()
            return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}

    def fork(self) -> TfliteSession:
        """Return a session with an interpreter of its own: they do not share what they compile."""
        if self._interpreter is None:
            raise EngineError("this session was closed; load the bundle again")
        return TfliteSession(self._make, self._make()[0], self.info)

    def close(self) -> None:
        """Release the interpreter."""
        self._interpreter = None

    def _set(self, name: str, array: Array) -> None:
        entry = self._inputs[name]
        shape = tuple(int(side) for side in entry["shape"])
        if array.shape != shape or array.dtype != entry["dtype"]:
            raise EngineError(
                f"input {name} takes {shape} {np.dtype(entry['dtype']).name}, "
                f"got {array.shape} {array.dtype.name}"
            )
        self._interpreter.set_tensor(entry["index"], array)


def open_session(graph: GraphSpec, files: Sequence[Path], options: EngineOptions) -> TfliteSession:
    """Open a TFLite file; see :class:`edgeblend.runtime.backends.base.Backend`.

    ``device`` is ``CPU`` or the path of a delegate's library, such as ``/usr/lib/libedgetpu.so.1``, whose
    options are the properties; what it does not take runs on the CPU, and ``info`` says so. There is nothing
    to keep in ``cache_dir``.
    """
    if graph.format not in FORMATS:
        raise EngineError(f"TFLite opens graphs of format 'tflite', this one is {graph.format!r}")
    if graph.format == "tflite-ethos-u" and _device(options) == _CPU:
        raise EngineError(
            "this graph was compiled for an Ethos-U: name its delegate's library as the device, on the board "
            "that has one; elsewhere run the INT8 TFLite bundle that it was made from"
        )
    session = model_session(files[0], options)
    try:
        _check_precision(session.info, graph, options)
    except EngineError:
        session.close()
        raise
    return session


def model_session(model: Path | bytes, options: EngineOptions | None = None) -> TfliteSession:
    """Open a TFLite graph, in whatever precision it is.

    Args:
        model: the file, which is mapped into memory, or its content.
        options: as for :func:`open_session`; its precision is not looked at.

    Raises:
        EngineError: the interpreter, the delegate or the graph is not there or not in order.
    """
    options = options or EngineOptions()
    properties = dict(options.properties)
    package = _package(properties.pop("interpreter", None))
    module, device = _interpreter_module(package), _device(options)
    name = model.name if isinstance(model, Path) else "the graph"
    failed = f"TFLite cannot open {name} for {device}"
    with engine_errors(
        f"{failed}: the file", lambda error: f"{_one_line(error)}; convert the checkpoint again"
    ):
        check_graph(model)
    source = {"model_path": str(model)} if isinstance(model, Path) else {"model_content": model}
    # Every session has an interpreter of its own, with threads of its own.
    threads = max(options.cpu_threads // options.streams, 1)

    def make() -> _Made:
        delegates = _delegates(module, device, properties)
        with engine_errors(failed, _one_line):
            made = module.Interpreter(**source, num_threads=threads, experimental_delegates=delegates or None)
            # Before tensors are allocated, which is when XNNPACK takes what is left.
            taken = _taken_by_delegate(made) if delegates else 0
            made.allocate_tensors()
            return made, taken

    interpreter, taken = make()
    with engine_errors(failed, _one_line):
        info = SessionInfo(
            engine=_engine(package),
            device=device,
            device_name=processor_name() if device == _CPU else Path(device).name,
            precision=_precision(interpreter),
            threads=threads * options.streams,
        )
        if device != _CPU:
            info = _with_delegate(info, taken, len(_own_operators(interpreter)), name)
        return TfliteSession(make, interpreter, info)


def engine_info() -> EngineInfo:
    """Return the interpreter's version and its one device; what delegates drive does not show before."""
    return EngineInfo(_engine(_package(None)), (DeviceInfo(_CPU, processor_name(), ("f32", "int8")),))


def _device(options: EngineOptions) -> str:
    """Return ``CPU`` in any case, or a library's path as it is."""
    return _CPU if options.device.upper() == _CPU else options.device


def _tensor_info(entry: Mapping[str, Any]) -> TensorInfo:
    sides = (int(side) for side in entry["shape_signature"])
    return TensorInfo(tuple(None if side < 0 else side for side in sides), np.dtype(entry["dtype"]).name)


def _engine(package: str) -> str:
    """Return name and version of an interpreter's package."""
    return f"{_INTERPRETERS[package]} {version(_INTERPRETERS[package])}"


def _package(wanted: str | None) -> str:
    """Return the interpreter's package that was asked for, or the first that is installed."""
    if wanted is not None and wanted not in _INTERPRETERS:
        raise EngineError(f"unknown interpreter {wanted!r}; known are {', '.join(_INTERPRETERS)}")
    names = [wanted] if wanted is not None else list(_INTERPRETERS)
    for name in names:
        if find_spec(name) is not None:
            return name
    raise MissingPackageError(
        f"the interpreter {' or '.join(names)} is not installed; run `pip install {_INTERPRETERS[names[0]]}`",
        name=names[0],
        extra="tflite" if wanted is None else None,
    )


def _interpreter_module(package: str) -> Any:  # noqa: ANN401
    with engine_errors(f"{package} cannot be imported", _one_line):
        return import_module(f"{package}.interpreter")


def _delegates(module: Any, device: str, properties: Mapping[str, str]) -> list[Any]:  # noqa: ANN401
    if device == _CPU:
        if properties:
            raise EngineError(
                f"TFLite on the CPU has no property {', '.join(properties)}, only 'interpreter'; name a "
                "delegate's library as the device to pass properties to it"
            )
        return []
    if os.sep not in device and not device.endswith((".so", ".dll", ".dylib")) and ".so." not in device:
        raise EngineError(
            f"device {device} is not there; TFLite has CPU, and delegates by the path of their library, such "
            "as /usr/lib/libedgetpu.so.1"
        )
    asked = f" with {', '.join(f'{key}={value}' for key, value in properties.items())}" if properties else ""
    with engine_errors(f"the delegate {device} cannot be loaded{asked}", _one_line):
        # The interpreter says less about a library that is not there, or that is none of a delegate.
        _ = ctypes.CDLL(device).tflite_plugin_create_delegate
        return [module.load_delegate(device, dict(properties))]


def _taken_by_delegate(interpreter: Interpreter) -> int:
    """Return how many operators the delegates have taken: those between their nodes' outputs and inputs."""
    listed: Operators = interpreter._get_ops_details()  # noqa: SLF001 - nothing public says it
    maker = {
        int(index): position
        for position, operator in enumerate(listed)
        if operator["op_name"] != _DELEGATE
        for index in operator["outputs"]
    }
    taken: set[int] = set()
    for node in listed:
        if node["op_name"] == _DELEGATE:
            borders = {int(index) for index in node["inputs"]}
            waiting = [int(index) for index in node["outputs"]]
            while waiting:
                index = waiting.pop()
                position = maker.get(index)
                if index not in borders and position is not None and position not in taken:
                    taken.add(position)
                    waiting += [int(source) for source in listed[position]["inputs"]]
    return len(taken)


def _with_delegate(info: SessionInfo, taken: int, operators: int, name: str) -> SessionInfo:
    if taken == 0:
        raise EngineError(
            f"the delegate {info.device} takes none of the {operators} operators of {name}; open it on the "
            "CPU, or compile the graph for the delegate's device"
        )
    return info if taken == operators else replace(info, device=f"{info.device},CPU")


def _own_operators(interpreter: Interpreter) -> Operators:
    """Return the operators of the file, without the nodes that stand for what a delegate took."""
    listed: Operators = interpreter._get_ops_details()  # noqa: SLF001 - nothing public says it
    return [operator for operator in listed if operator["op_name"] != _DELEGATE]


def _precision(interpreter: Interpreter) -> str:
    """Return what the layers of a graph compute in, by the types of their weights and of what they give.

    ``int8``: all operators in integers. ``int8+f32``: some layers in integers, with what comes in stored as
    integers or, dynamically, rounded when it comes.
    """
    dtypes = {entry["index"]: entry["dtype"] for entry in interpreter.get_tensor_details()}
    in_int8, in_float = 0, 0
    for operator in _own_operators(interpreter):
        inputs = [dtypes.get(int(index)) for index in operator["inputs"] if index >= 0]
        if operator["op_name"] in _LAYERS and inputs[1] is np.int8:
            in_int8 += 1
            in_float += inputs[0] is np.float32
        elif operator["op_name"] not in _CONVERSIONS and np.float32 in inputs:
            in_float += 1
    if not in_int8:
        return "f32"
    return "int8+f32" if in_float else "int8"


def _check_precision(info: SessionInfo, graph: GraphSpec, options: EngineOptions) -> None:
    if options.precision == "engine":
        return
    if graph.precision in ("int8", "int8-dynamic") and "int8" not in info.precision:
        raise EngineError(
            f"device {info.device} computes none of this {graph.precision} graph's layers in int8, but all "
            f"in {info.precision}; take the float bundle there, or ask for 'engine' to accept it"
        )
    if options.precision != "f32":
        raise EngineError(
            f"TFLite computes in {info.precision} when asked for {options.precision}; ask for f32, or for "
            "'engine' to accept whatever it takes"
        )
    if _device(options) != _CPU and info.precision != "int8":
        raise EngineError(
            f"the delegate {options.device} does not say whether it computes float layers in f32, as was "
            "asked for; ask for 'engine' to accept whatever it takes"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
