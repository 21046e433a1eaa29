"""OpenCV's DNN module as an engine for edgeblend.

It runs on CPUs, and needs no package that edgeblend's runtime does not need anyway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2

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

FORMATS = ("onnx",)
"""Formats of graphs that this engine opens, whichever engine a bundle was made for."""

_DEVICE = "CPU"
_PRECISION = "f32"
_DTYPES = {"CV_8UC1": "uint8", "CV_32FC1": "float32"}
_LISTED = re.compile(r'"(?P<name>[^"]+)",? // <(?P<kind>Input|Output)> (?P<dtype>\w+) \[(?P<sides>[\w ]+)\]')
"""How OpenCV lists a tensor, such as ``"image" // <Input> CV_8UC1 [1 x 320 x 320 x 3]``."""


def fits(info: TensorInfo, array: Array) -> bool:
    """Return whether an array can be handed in; OpenCV itself would take a picture of any size."""
    return (
        array.dtype.name == info.dtype
        and len(array.shape) == len(info.shape)
        and all(want in (None, side) for want, side in zip(info.shape, array.shape, strict=True))
    )


class OpenCvDnnSession:
    """One graph, with the memory of its inference.

    Raises:
        EngineError: the file is not one that OpenCV takes.
    """

    def __init__(self, file: Path, info: SessionInfo) -> None:
        self.info = info
        self._file = file
        with engine_errors(f"OpenCV cannot open {file.name}", _reason):
            net = cv2.dnn.readNetFromONNX(str(file), cv2.dnn.ENGINE_NEW)
            listed = net.dump()
            self.inputs, self.outputs = _tensors(listed, "Input"), _tensors(listed, "Output")
            self._outputs = list(net.getUnconnectedOutLayersNames())
        self._net: cv2.dnn.Net | None = net

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the graph once; see :class:`edgeblend.runtime.backends.base.Session`. Outputs are copies."""
        if self._net is None:
            raise EngineError("this session was closed; load the bundle again")
        if inputs.keys() != self.inputs.keys():
            raise EngineError(
                f"the graph takes {', '.join(self.inputs)}, got {', '.join(inputs) or 'nothing'}"
            )
        for name, array in inputs.items():
            wanted = self.inputs[name]
            if not fits(wanted, array):
                raise EngineError(
                    f"input {name} takes {wanted.shape} {wanted.dtype}, got {array.shape} {array.dtype.name}"
                )
        with engine_errors("OpenCV failed", _reason):
            for name, array in inputs.items():
                self._net.setInput(array, name)
            return dict(zip(self._outputs, self._net.forward(self._outputs), strict=True))

    def fork(self) -> OpenCvDnnSession:
        """Return a session that can run at the same time: a network of its own, read from the file again."""
        if self._net is None:
            raise EngineError("this session was closed; load the bundle again")
        return OpenCvDnnSession(self._file, self.info)

    def close(self) -> None:
        """Release the network."""
        self._net = None


def open_session(graph: GraphSpec, files: Sequence[Path], options: EngineOptions) -> OpenCvDnnSession:
    """Open an ONNX file; see :class:`edgeblend.runtime.backends.base.Backend`.

    OpenCV has one number of threads for the whole process: what is asked for here, or one per core, is set
    for everything that OpenCV does, and ``streams`` share them in any case. There is nothing to keep in
    ``cache_dir``.
    """
    if graph.format not in FORMATS:
        raise EngineError(f"OpenCV opens graphs of format 'onnx', this one is {graph.format!r}")
    _check_options(graph, options)
    cv2.setNumThreads(options.cpu_threads)
    info = SessionInfo(_engine(), _DEVICE, "CPU", _PRECISION, cv2.getNumThreads())
    return OpenCvDnnSession(files[0], info)


def engine_info() -> EngineInfo:
    """Return OpenCV's version and its one device."""
    return EngineInfo(cv2.__version__, (DeviceInfo(_DEVICE, "CPU", (_PRECISION,)),))


def _check_options(graph: GraphSpec, options: EngineOptions) -> None:
    """Refuse what cannot be given: nothing falls back silently."""
    if options.device.upper() != _DEVICE:
        raise EngineError(f"device {options.device} is not there; OpenCV's new engine has {_DEVICE}")
    if options.properties:
        raise EngineError(f"OpenCV has no properties, got {', '.join(options.properties)}")
    if options.precision == "engine":
        return
    if options.precision != _PRECISION:
        raise EngineError(
            f"OpenCV computes in {_PRECISION} when asked for {options.precision}; ask for {_PRECISION}, "
            "or for 'engine' to accept whatever it takes"
        )
    if graph.precision in ("int8", "int8-dynamic"):
        raise EngineError(
            f"OpenCV computes this {graph.precision} graph's layers in {_PRECISION}; take the float bundle, "
            "or ask for 'engine' to accept it"
        )


def _engine() -> str:
    return f"opencv-dnn {cv2.__version__}"


def _tensors(listed: str, kind: str) -> dict[str, TensorInfo]:
    found = {}
    for tensor in _LISTED.finditer(listed):
        if tensor["kind"] == kind:
            sides = tensor["sides"].split(" x ")
            shape = tuple(int(side) if side.isdecimal() else None for side in sides)
            found[tensor["name"]] = TensorInfo(shape, _DTYPES[tensor["dtype"]])
    return found


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "err", error)).split()) or type(error).__name__
