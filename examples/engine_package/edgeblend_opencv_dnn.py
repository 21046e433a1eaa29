"""OpenCV's DNN module as an engine for edgeblend.

It runs on CPUs, and needs no package that edgeblend's runtime does not need anyway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeblend.errors import EngineError
from edgeblend.manifest import GraphSpec
from edgeblend.runtime.backends.base import Array, DeviceInfo, EngineInfo, EngineOptions, SessionInfo

FORMATS = ("onnx",)
"""Formats of graphs that this engine opens, whichever engine a bundle was made for."""

_DEVICE = "CPU"
_PRECISION = "f32"
_DTYPES: dict[str, np.dtype[Any]] = {"CV_8UC1": np.dtype(np.uint8), "CV_32FC1": np.dtype(np.float32)}
_INPUT = re.compile(r'"(?P<name>[^"]+)" // <Input> (?P<dtype>\w+) \[(?P<sides>[\w ]+)\]')
"""How OpenCV lists an input, such as ``"image" // <Input> CV_8UC1 [1 x 320 x 320 x 3]``."""


@dataclass(frozen=True, slots=True)
class _Input:
    """What the graph takes under one name."""

    shape: tuple[int | None, ...]
    """None is a side that is open."""
    dtype: np.dtype[Any]

    def fits(self, array: Array) -> bool:
        """Return whether an array can be handed in; OpenCV itself would take a picture of any size."""
        return (
            array.dtype == self.dtype
            and len(array.shape) == len(self.shape)
            and all(want in (None, side) for want, side in zip(self.shape, array.shape, strict=True))
        )


class OpenCvDnnSession:
    """One graph, with the memory of its inference.

    Raises:
        EngineError: the file is not one that OpenCV takes.
    """

    def __init__(self, file: Path, info: SessionInfo) -> None:
        self.info = info
        self._file = file
        try:
            net = cv2.dnn.readNetFromONNX(str(file), cv2.dnn.ENGINE_NEW)
        except cv2.error as error:
            raise EngineError(f"OpenCV cannot open {file.name}: {error.err}") from error
        self._net: cv2.dnn.Net | None = net
        self._inputs = _inputs(net)
        self._outputs = list(net.getUnconnectedOutLayersNames())

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the graph once; see :class:`edgeblend.runtime.backends.base.Session`. Outputs are copies."""
        if self._net is None:
            raise EngineError("this session was closed; load the bundle again")
        if inputs.keys() != self._inputs.keys():
            raise EngineError(
                f"the graph takes {', '.join(self._inputs)}, got {', '.join(inputs) or 'nothing'}"
            )
        for name, array in inputs.items():
            wanted = self._inputs[name]
            if not wanted.fits(array):
                raise EngineError(
                    f"input {name} takes {wanted.shape} {wanted.dtype.name}, "
                    f"got {array.shape} {array.dtype.name}"
                )
        try:
            for name, array in inputs.items():
                self._net.setInput(array, name)
            return dict(zip(self._outputs, self._net.forward(self._outputs), strict=True))
        except cv2.error as error:
            raise EngineError(f"OpenCV failed: {error.err}") from error

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

    OpenCV has one number of threads for the whole process: what is asked for here is set for everything that
    OpenCV does, and ``streams`` share them in any case. There is nothing to keep in ``cache_dir``.
    """
    if graph.format not in FORMATS:
        raise EngineError(f"OpenCV opens graphs of format 'onnx', this one is {graph.format!r}")
    _check_options(graph, options)
    if options.threads is not None:
        cv2.setNumThreads(options.threads)
    info = SessionInfo(_engine(), _DEVICE, "CPU", _PRECISION, cv2.getNumThreads())
    return OpenCvDnnSession(files[0], info)


def engine_info() -> EngineInfo:
    """Return OpenCV's version and its one device."""
    return EngineInfo(cv2.__version__, (DeviceInfo(_DEVICE, "CPU", (_PRECISION,)),))


def _check_options(graph: GraphSpec, options: EngineOptions) -> None:
    """Refuse what cannot be given: nothing falls back silently."""
    if options.device != _DEVICE:
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


def _inputs(net: cv2.dnn.Net) -> dict[str, _Input]:
    found = {}
    for listed in _INPUT.finditer(net.dump()):
        sides = listed["sides"].split(" x ")
        shape = tuple(int(side) if side.isdecimal() else None for side in sides)
        found[listed["name"]] = _Input(shape, _DTYPES[listed["dtype"]])
    return found
