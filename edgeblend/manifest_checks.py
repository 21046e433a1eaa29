"""What a manifest's fields must be to each other; the range of each alone is declared with its struct."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from edgeblend.classes import category_ids_problem
from edgeblend.engine_packages import engine_packages
from edgeblend.errors import BundleError
from edgeblend.files.junk import is_junk_path, listed_names
from edgeblend.spec import LARGEST_CANVAS, LARGEST_MASKS, LARGEST_SIDE, InputSpec

if TYPE_CHECKING:
    from edgeblend.manifest import Manifest, TensorSpec

MANIFEST_NAME = "manifest.json"
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_Name = TypeVar("_Name", bound=Hashable)

_LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}
_FORMATS = {
    "openvino": ("openvino-ir", (".xml", ".bin")),
    "onnxruntime": ("onnx", (".onnx",)),
    "tflite": ("tflite", (".tflite",)),
    "ethos-u": ("tflite-ethos-u", (".tflite",)),
}
"""Of our own targets the format of their graphs, and its files in order: an engine opens the first."""
_WITHOUT_LEVEL = ("image", "bases")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SHOWN = 5


def contradictions(manifest: Manifest) -> str:
    """Return what is wrong with a manifest, as one line; empty if nothing is."""
    found = [problem for check in _CHECKS for problem in check(manifest)]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return _CONTROL.sub(" ", "; ".join([*found[:_SHOWN], *more]))


def check_listing(source: str, manifest: Manifest, found: Iterable[str]) -> None:
    """Refuse a bundle with other files than the manifest lists; what systems leave behind is passed over.

    Raises:
        BundleError: a file is missing, or one is there that is not the bundle's.
    """
    expected = {MANIFEST_NAME, *(spec.name for spec in manifest.files)}
    if missing := expected - set(found):
        raise BundleError(
            f"{source}: incomplete bundle: missing {listed_names(missing)}; copy or convert it again"
        )
    if extra := {name for name in set(found) - expected if not is_junk_path(PurePosixPath(name).parts)}:
        raise BundleError(
            f"{source}: files that the manifest does not list: {listed_names(extra)}; move them elsewhere"
        )


def canvas_problems(spec: InputSpec) -> Iterator[str]:
    """Yield what is wrong with a canvas."""
    if (spec.height is None) != (spec.width is None):
        yield "height and width must both be numbers, or both null"
    if spec.min_size > spec.max_size:
        yield f"min_size {spec.min_size} is more than max_size {spec.max_size}"
    if spec.height is not None and spec.width is not None:
        height, width = spec.height, spec.width
    else:
        height, width = spec.min_size, spec.max_size
    if max(height, width) > LARGEST_SIDE or height * width > LARGEST_CANVAS:
        yield (
            f"a canvas of {height} x {width} pixels is too large: at most {LARGEST_SIDE} a side and "
            f"{LARGEST_CANVAS} in all"
        )


def _file_problems(manifest: Manifest) -> Iterator[str]:
    names = [file.name for file in manifest.files]
    yield from (f"unsafe file name {name!r}" for name in names if not FILE_NAME.fullmatch(name))
    if len(set(names)) != len(names) or MANIFEST_NAME in names:
        yield "a file is listed twice"
    for part in ("detector", "basis"):
        if part not in manifest.graphs:
            yield f"graph {part!r} is missing"


def _format_problems(manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with the target, and with each graph's format and files.

    Another package may bring a target and a format. It may also make bundles of our formats for its own
    target, which is then a name that it registered.
    """
    targets = {name: target for target, (name, _) in _FORMATS.items()}
    suffixes = dict(_FORMATS.values())
    known = manifest.target in _FORMATS
    for part, graph in manifest.graphs.items():
        if known and graph.format != _FORMATS[manifest.target][0]:
            expected = _FORMATS[manifest.target][0]
            yield f"the {part} graph is {graph.format!r}; the target {manifest.target!r} takes {expected!r}"
        elif not known and graph.format in targets and manifest.target not in engine_packages():
            yield (
                f"the {part} graph is {graph.format!r}, which is for {targets[graph.format]!r}; no engine "
                f"that is installed is called {manifest.target!r}"
            )
        ends = tuple(PurePosixPath(file.name).suffix for file in graph.files)
        if graph.format in suffixes and ends != suffixes[graph.format]:
            wanted = " and then ".join(suffixes[graph.format])
            yield f"the {part} graph lists {', '.join(file.name for file in graph.files)}; expected {wanted}"


def _model_problems(manifest: Manifest) -> Iterator[str]:
    if (manifest.attention.mode == "sparse") != (manifest.attention.file is not None):
        yield "sparse attention needs a weights file and dense attention has none"
    yield from canvas_problems(manifest.input)
    if len(manifest.things) != manifest.decode.num_classes:
        yield f"{len(manifest.things)} class names for {manifest.decode.num_classes} classes"
    if problem := category_ids_problem(manifest.category_ids, len(manifest.things)):
        yield problem
    for kind in ("things", "stuff"):
        yield from (
            f"the class name {name!r} occurs twice in {kind}" for name in _twice(getattr(manifest, kind))
        )
    if (manifest.panoptic is not None) != bool(manifest.stuff):
        yield "a panoptic model names its stuff, and no other has any"
    levels = manifest.decode.levels
    yield from (f"level {name} occurs twice" for name in _twice(level.name for level in levels))
    for level in levels:
        if level.name != f"p{level.stride.bit_length() - 1}" or level.stride.bit_count() != 1:
            yield f"level {level.name} has stride {level.stride}; pN has stride 2**N"
    count, size = manifest.decode.max_detections, manifest.blend.mask_size
    if count * size**2 > LARGEST_MASKS:
        yield f"{count} masks of {size} x {size} are too many: at most {LARGEST_MASKS} values"


def _record_problems(manifest: Manifest) -> Iterator[str]:
    if any(graph.precision == "int8" for graph in manifest.graphs.values()) and not manifest.quantization:
        yield "int8 graphs need to say how they were quantized"
    checked = manifest.verification
    if checked.matched > checked.detections:
        yield f"{checked.matched} of {checked.detections} detections agree"


def _measured_problems(manifest: Manifest) -> Iterator[str]:
    """Yield what was measured of tensors that no graph has."""
    outputs = {(part, spec.name) for part, graph in manifest.graphs.items() for spec in graph.outputs}
    measured = {"verification": [(item.graph, item.tensor) for item in manifest.verification.tensors]}
    if manifest.quantization is not None:
        noise = manifest.quantization.measured.tensors
        measured["quantization"] = [(item.graph, item.tensor) for item in noise]
    for what, named in measured.items():
        for part, name in dict.fromkeys(named):
            if (part, name) not in outputs:
                yield f"{what} names {name!r}, which is no output of the {part} graph"
        yield from (f"{what} has the {part} output {name} twice" for part, name in _twice(named))


def _tensor_problems(manifest: Manifest) -> Iterator[str]:
    for part, graph in manifest.graphs.items():
        for place, tensors in (("input", graph.inputs), ("output", graph.outputs)):
            yield from (f"the {part} {place} {name} occurs twice" for name in _twice(t.name for t in tensors))
            for role, level in _twice((tensor.role, tensor.level) for tensor in tensors):
                yield f"the {part} has two {place}s {role} {level or ''}".rstrip()
        for tensor in (*graph.inputs, *graph.outputs):
            yield from (f"{part} tensor {tensor.name} {problem}" for problem in _storage_problems(tensor))


def _storage_problems(tensor: TensorSpec) -> Iterator[str]:
    """Yield what is wrong with how a tensor is stored."""
    if (tensor.role in _WITHOUT_LEVEL) != (tensor.level is None):
        yield f"is {tensor.role} and has the level {tensor.level}"
    bytes_of_a_picture = tensor.role == "image" and tensor.dtype == "uint8"
    if (tensor.quantization is None) != (tensor.dtype == "float32" or bytes_of_a_picture):
        yield f"is {tensor.dtype} and has {'no scale' if tensor.quantization is None else 'a scale'}"
    elif tensor.quantization is not None:
        lowest, highest = _LIMITS[tensor.dtype]
        if not lowest <= tensor.quantization.zero_point <= highest:
            yield f"is {tensor.dtype} and has the zero point {tensor.quantization.zero_point}"
    if bytes_of_a_picture and tensor.layout != "NHWC":
        yield f"is a picture of bytes in {tensor.layout}; they lie as NHWC"


def _role_problems(manifest: Manifest) -> Iterator[str]:
    """Yield what the graphs lack, and have too much, for what the manifest says of the model."""
    if set(manifest.graphs) != {"detector", "basis"}:
        return
    detector, basis = manifest.graphs["detector"], manifest.graphs["basis"]
    attention = "attention_features" if manifest.attention.mode == "sparse" else "attention"
    heads = ("cls_logits", "box_reg", "centerness", attention)
    have: set[tuple[str, str | None]] = {(tensor.role, tensor.level) for tensor in detector.outputs}
    need: set[tuple[str, str | None]] = {
        (role, level.name) for role in heads for level in manifest.decode.levels
    }
    need |= {(tensor.role, tensor.level) for tensor in basis.inputs}
    yield from (f"the detector has no output {role} {level}" for role, level in sorted(need - have, key=str))
    if [tensor.role for tensor in detector.inputs] != ["image"]:
        yield "the detector's only input must be the image"
    if [tensor.role for tensor in basis.outputs] != ["bases"]:
        yield "the basis graph's only output must be the bases"
    yield from _misplaced("detector", "gives", detector.outputs, (*heads, "pyramid"))
    yield from _misplaced("basis", "takes", basis.inputs, ("pyramid",))
    if not basis.inputs:
        yield "the basis graph takes nothing"


def _misplaced(part: str, verb: str, tensors: Iterable[TensorSpec], roles: Iterable[str]) -> Iterator[str]:
    for tensor in tensors:
        if tensor.role not in roles:
            yield f"the {part} graph {verb} {tensor.role}"


def _twice(names: Iterable[_Name]) -> list[_Name]:
    return [name for name, count in Counter(names).items() if count > 1]


_CHECKS = (
    _file_problems,
    _format_problems,
    _model_problems,
    _record_problems,
    _measured_problems,
    _tensor_problems,
    _role_problems,
)
