"""The bundle's ``manifest.json`` as frozen structs; ``docs/bundle.md`` is its specification.

Reading is strict: an unknown field, a missing one or a wrong type is an error that names its place.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

import msgspec

from edgeblend.classes import category_ids_problem
from edgeblend.errors import BundleError
from edgeblend.recipe import Recipe
from edgeblend.spec import BlendSpec, DecodeSpec, InputSpec, PanopticSpec, Struct

SCHEMA_VERSION = 4
MANIFEST_NAME = "manifest.json"

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Part = Literal["detector", "basis"]

GraphPrecision = Literal["fp32", "fp16", "int8-dynamic", "int8"]
"""How the weights of a graph are stored. ``int8`` is also what most layers are computed in; what others are
computed in is chosen when the bundle is opened. ``int8-dynamic`` has no ranges of its own: the engine finds
those of each input while it runs."""


class FileSpec(Struct, frozen=True):
    """One file of the bundle; the name has no folder in it."""

    name: str
    size: int
    """Bytes."""
    sha256: Sha256


class TensorQuantization(Struct, frozen=True):
    """What the integers of a tensor mean: ``scale * (stored - zero_point)``."""

    scale: float
    zero_point: int


class TensorSpec(Struct, frozen=True):
    """One physical tensor of a graph and the role that it plays."""

    role: Literal[
        "image", "cls_logits", "box_reg", "centerness", "attention_features", "attention", "pyramid", "bases"
    ]
    level: str | None
    """Pyramid level such as ``p3``; None where the role has no levels."""
    name: str
    """What the engine calls it."""
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["uint8", "int8", "float32"]
    quantization: TensorQuantization | None = None
    """None where the values are what is stored, as bytes of a picture are in ``uint8``."""


class GraphSpec(Struct, frozen=True):
    """One graph: its files and its tensors."""

    format: str
    """Such as ``openvino-ir``."""
    precision: GraphPrecision
    files: tuple[FileSpec, ...]
    """The first is the one an engine opens."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class AttentionSpec(Struct, frozen=True):
    """Where the attention of a detection comes from.

    ``sparse``: the runtime computes it at the detections alone, from ``attention_features`` and
    the weights in ``file``. ``dense``: the graph computes it everywhere and ``file`` is None.
    """

    mode: Literal["sparse", "dense"]
    file: FileSpec | None


class SourceSpec(Struct, frozen=True):
    """What the bundle was made from."""

    config: str
    checkpoint: str
    """File name, without folders."""
    checkpoint_sha256: Sha256


class TensorError(Struct, frozen=True):
    """How far one output of an exported graph is from torch's."""

    graph: Part
    tensor: str
    max_error: float
    """Largest absolute difference over the standard deviation of torch's values."""


class ToleranceSpec(Struct, frozen=True):
    """What a conversion had to reach."""

    max_error: float
    """Largest error of an output, in standard deviations; also the largest difference of scores."""
    box_iou: float
    """Boxes that agree overlap by more than this."""
    matched: float
    """Share of the detections that must agree; one may always differ."""
    mask_iou: float
    """Masks that agree overlap by at least this."""


class VerificationSpec(Struct, frozen=True):
    """What the comparison of the exported graphs with torch measured, on photographs."""

    tolerance: ToleranceSpec
    pictures: tuple[tuple[int, int], ...]
    """(height, width) of each canvas that was compared."""
    tensors: tuple[TensorError, ...]
    """The worst of all pictures, for each output."""
    detections: int
    """Detections of the torch network on all pictures together."""
    matched: int
    """How many of them the exported graphs found: same class, box and score within tolerance."""
    lowest_mask_iou: float | None
    """Over the matched detections; None without any."""


class CalibrationSpec(Struct, frozen=True):
    """The frames that ranges were measured on."""

    source: str
    """Where they come from, in words."""
    frames: int
    seen: int
    """Frames that they were chosen from, without the unreadable."""
    unreadable: int
    near_duplicates: int
    """How many were left out for looking like another."""
    seed: int
    sha256: Sha256
    """Of the pixels of all chosen frames."""


class TensorNoise(Struct, frozen=True):
    """How much of an output is quantization noise."""

    graph: Part
    tensor: str
    sqnr_db: float | None
    """Power of the float bundle's values over that of the difference, in decibels; None if there is none."""


class AgreementSpec(Struct, frozen=True):
    """How far the quantized bundle finds what the float one finds, on calibration frames."""

    frames: int
    agreement: float
    """0 to 100; ``docs/quantization.md`` defines it."""
    tensors: tuple[TensorNoise, ...]


class SearchStep(Struct, frozen=True):
    """One model that a search measured."""

    graph: Part
    drop: float
    """Against the float bundle, in points of ``SearchSpec.metric``."""
    returned: tuple[str, ...]
    """Layers that this step returned to float."""
    float_layers: int
    """How many of the graph's layers are in float now."""


class SearchSpec(Struct, frozen=True):
    """What a search for layers to keep in float tried."""

    metric: Literal["average precision", "agreement"]
    pictures: int
    max_drop: float
    drop: float
    """Of the bundle as it is."""
    steps: tuple[SearchStep, ...]


class QuantizationSpec(Struct, frozen=True):
    """How a bundle was quantized, and what that cost."""

    recipe: Recipe
    calibration: CalibrationSpec
    float_layers: dict[Part, tuple[str, ...]]
    """Layers of each quantized graph that stayed in float, by their names in the checkpoint."""
    quantized_layers: dict[Part, int]
    measured: AgreementSpec
    search: SearchSpec | None


class Manifest(Struct, frozen=True):
    """Everything a runtime must know of a bundle besides its graphs."""

    schema_version: int
    target: str
    """The engine that the graphs are for, such as ``openvino``."""
    source: SourceSpec
    input: InputSpec
    things: tuple[str, ...]
    """Class names of instances, by class index."""
    category_ids: tuple[int, ...]
    """Category id of each of ``things``, as the data set numbers it; results are written with these."""
    stuff: tuple[str, ...]
    """Class names of a panoptic model's semantic map; empty otherwise."""
    decode: DecodeSpec
    attention: AttentionSpec
    blend: BlendSpec
    panoptic: PanopticSpec | None
    graphs: dict[Part, GraphSpec]
    tools: dict[str, str]
    """Versions of what made the bundle."""
    verification: VerificationSpec
    """Of the float graphs, also in a bundle that was quantized from them."""
    quantization: QuantizationSpec | None
    """None for a bundle in float."""
    notes: tuple[str, ...] = ()
    """What the conversion assumed because it was not told, one line each."""

    @property
    def files(self) -> tuple[FileSpec, ...]:
        """All files of the bundle except the manifest itself."""
        graph_files = [file for graph in self.graphs.values() for file in graph.files]
        return (*graph_files, *([self.attention.file] if self.attention.file else []))


class _Version(msgspec.Struct):
    schema_version: int


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON, the same bytes for equal manifests."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode_manifest(data: bytes, *, source: str) -> Manifest:
    """Read and check a manifest.

    Args:
        data: the content of ``manifest.json``.
        source: what to call it in errors.

    Raises:
        BundleError: not JSON, another schema version, an unknown or missing field, or fields that
            contradict each other.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise BundleError(
                f"{source}: schema version {version} is not supported: this edgeblend reads version "
                f"{SCHEMA_VERSION}; convert the checkpoint again, or install the edgeblend that wrote it"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise BundleError(f"{source}: not a valid manifest: {error}") from None
    _check_consistency(manifest, source)
    return manifest


def _check_consistency(manifest: Manifest, source: str) -> None:
    problems = [
        f"unsafe file name {file.name!r}" for file in manifest.files if not _FILE_NAME.fullmatch(file.name)
    ]
    names = [file.name for file in manifest.files]
    if len(set(names)) != len(names) or MANIFEST_NAME in names:
        problems.append("a file is listed twice")
    problems += [
        f"graph {part!r} is missing" for part in ("detector", "basis") if part not in manifest.graphs
    ]
    problems += [f"graph {part!r} has no files" for part, graph in manifest.graphs.items() if not graph.files]
    if (manifest.attention.mode == "sparse") != (manifest.attention.file is not None):
        problems.append("sparse attention needs a weights file and dense attention has none")
    if (manifest.input.height is None) != (manifest.input.width is None):
        problems.append("height and width must both be numbers, or both null")
    if len(manifest.things) != manifest.decode.num_classes:
        problems.append(f"{len(manifest.things)} class names for {manifest.decode.num_classes} classes")
    if problem := category_ids_problem(manifest.category_ids, len(manifest.things)):
        problems.append(problem)
    if not manifest.decode.levels:
        problems.append("no pyramid levels")
    if any(graph.precision == "int8" for graph in manifest.graphs.values()) and not manifest.quantization:
        problems.append("int8 graphs need to say how they were quantized")
    problems += _missing_tensors(manifest)
    problems += _unclear_integers(manifest)
    if problems:
        raise BundleError(f"{source}: not a valid manifest: {'; '.join(problems)}")


def _missing_tensors(manifest: Manifest) -> list[str]:
    if set(manifest.graphs) != {"detector", "basis"}:
        return []
    detector, basis = manifest.graphs["detector"], manifest.graphs["basis"]
    attention = "attention_features" if manifest.attention.mode == "sparse" else "attention"
    have = {(tensor.role, tensor.level) for tensor in detector.outputs}
    need = {
        (role, level.name)
        for role in ("cls_logits", "box_reg", "centerness", attention)
        for level in manifest.decode.levels
    } | {(tensor.role, tensor.level) for tensor in basis.inputs}
    problems = [f"the detector has no output {role} {level}" for role, level in sorted(need - have, key=str)]
    if [tensor.role for tensor in detector.inputs] != ["image"]:
        problems.append("the detector's only input must be the image")
    if [tensor.role for tensor in basis.outputs] != ["bases"]:
        problems.append("the basis graph's only output must be the bases")
    return problems


def _unclear_integers(manifest: Manifest) -> list[str]:
    """Return what is wrong with how tensors are stored."""
    problems = []
    for part, graph in manifest.graphs.items():
        for tensor in (*graph.inputs, *graph.outputs):
            bytes_of_a_picture = tensor.role == "image" and tensor.dtype == "uint8"
            if (tensor.quantization is None) != (tensor.dtype == "float32" or bytes_of_a_picture):
                has = "no scale" if tensor.quantization is None else "a scale"
                problems.append(f"{part} tensor {tensor.name} is {tensor.dtype} and has {has}")
            elif tensor.quantization is not None and not 0 < tensor.quantization.scale < math.inf:
                problems.append(f"{part} tensor {tensor.name} has the scale {tensor.quantization.scale}")
    return problems
