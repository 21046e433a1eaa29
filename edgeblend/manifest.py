"""The bundle's ``manifest.json`` as frozen structs; ``docs/reference/bundle.md`` is its specification.

Reading is strict: an unknown field, a missing one, a wrong type or a value out of range is an error that
names its place. ``docs/manifest.schema.json`` is made from these structs (:mod:`edgeblend.manifest_schema`).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgeblend.classes import LARGEST_CATEGORY_ID, SMALLEST_CATEGORY_ID
from edgeblend.errors import BundleError
from edgeblend.files.json_errors import NOT_JSON
from edgeblend.manifest_checks import FILE_NAME, contradictions
from edgeblend.manifest_checks import MANIFEST_NAME as MANIFEST_NAME
from edgeblend.recipe import Recipe
from edgeblend.spec import (
    BlendSpec,
    Count,
    DecodeSpec,
    Fraction,
    InputSpec,
    Name,
    PanopticSpec,
    Pixels,
    Struct,
)

SCHEMA_VERSION = 4

_SMALLEST, _LARGEST = 1.1754943508222875e-38, 3.4028234663852886e38  # what float32 holds in full precision

FileName = Annotated[str, Meta(max_length=255, extra_json_schema={"pattern": f"^{FILE_NAME.pattern}$"})]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Error = Annotated[float, Meta(ge=0)]
CategoryId = Annotated[int, Meta(ge=SMALLEST_CATEGORY_ID, le=LARGEST_CATEGORY_ID)]
Part = Literal["detector", "basis"]

_ADVICE = "copy or convert the bundle again"

GraphPrecision = Literal["fp32", "fp16", "int8-dynamic", "int8"]
"""How the weights of a graph are stored. ``int8`` is also what most layers are computed in; what others are
computed in is chosen when the bundle is opened. ``int8-dynamic`` has no ranges of its own: the engine finds
those of each input while it runs."""


class FileSpec(Struct, frozen=True):
    """One file of the bundle; the name has no folder in it."""

    name: FileName
    size: Count
    """Size of the file in bytes."""
    sha256: Sha256


class TensorQuantization(Struct, frozen=True):
    """What the integers of a tensor mean: ``scale * (stored - zero_point)``."""

    scale: Annotated[float, Meta(ge=_SMALLEST, le=_LARGEST)]
    zero_point: Annotated[int, Meta(ge=-128, le=255)]
    """Zero point, within the range of the tensor's type."""


class TensorSpec(Struct, frozen=True):
    """One physical tensor of a graph and the role that it plays."""

    role: Literal[
        "image", "cls_logits", "box_reg", "centerness", "attention_features", "attention", "pyramid", "bases"
    ]
    level: Name | None
    """Pyramid level such as ``p3``; None where the role has no levels."""
    name: Name
    """Name of the tensor, as the engine calls it."""
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["uint8", "int8", "float32"]
    quantization: TensorQuantization | None = None
    """Meaning of stored integers; None where the stored values are the values, like bytes of an image."""


class GraphSpec(Struct, frozen=True):
    """One graph: its files and its tensors."""

    format: Name
    """Format of the graph's files, such as ``openvino-ir``."""
    precision: GraphPrecision
    files: Annotated[tuple[FileSpec, ...], Meta(min_length=1)]
    """Files of the graph; an engine opens the first."""
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

    config: Name
    checkpoint: Name
    """File name, without folders."""
    checkpoint_sha256: Sha256


class TensorError(Struct, frozen=True):
    """How far one output of an exported graph is from torch's."""

    graph: Part
    tensor: Name
    max_error: Error
    """Largest absolute difference over the standard deviation of torch's values."""


class ToleranceSpec(Struct, frozen=True):
    """What a conversion had to reach."""

    max_error: Error
    """Largest error of an output, in standard deviations; also the largest difference of scores."""
    box_iou: Fraction
    """Boxes that agree overlap by more than this."""
    matched: Fraction
    """Share of the detections that must agree; one may always differ."""
    mask_iou: Fraction
    """Masks that agree overlap by at least this."""


class VerificationSpec(Struct, frozen=True):
    """What the comparison of the exported graphs with torch measured, on photographs."""

    tolerance: ToleranceSpec
    pictures: tuple[tuple[Pixels, Pixels], ...]
    """(height, width) of each canvas compared."""
    tensors: tuple[TensorError, ...]
    """Largest error per output over all images."""
    detections: Count
    """Detections of the torch network on all pictures together."""
    matched: Count
    """Number of these that the exported graphs found: same class, box and score within tolerance."""
    lowest_mask_iou: Fraction | None
    """Lowest mask IoU over the matched detections; None without any."""


class CalibrationSpec(Struct, frozen=True):
    """The frames that ranges were measured on."""

    source: str
    """Source of the frames, in words."""
    frames: Count
    seen: Count
    """Number of readable frames that these were chosen from."""
    unreadable: Count
    near_duplicates: Count
    """Number of frames left out because they look like another."""
    seed: Annotated[int, Meta(ge=0)]
    sha256: Sha256
    """SHA-256 over the pixels of all chosen frames."""


class TensorNoise(Struct, frozen=True):
    """How much of an output is quantization noise."""

    graph: Part
    tensor: Name
    sqnr_db: float | None
    """Power of the float bundle's values over that of the difference, in decibels; None if there is none."""


class AgreementSpec(Struct, frozen=True):
    """How far the quantized bundle finds what the float one finds, on calibration frames."""

    frames: Count
    agreement: Annotated[float, Meta(ge=0, le=100)]
    """0 to 100; ``docs/reference/glossary.md`` defines it."""
    tensors: tuple[TensorNoise, ...]


class SearchStep(Struct, frozen=True):
    """One model that a search measured."""

    graph: Part
    drop: float
    """Drop against the float bundle, in points of ``SearchSpec.metric``."""
    returned: tuple[str, ...]
    """Layers that this step returned to float."""
    float_layers: Count
    """Number of the graph's layers now in float."""


class SearchSpec(Struct, frozen=True):
    """What a search for layers to keep in float tried."""

    metric: Literal["average precision", "agreement"]
    pictures: Count
    max_drop: float
    drop: float
    """Drop of the bundle as written."""
    steps: tuple[SearchStep, ...]


class QuantizationSpec(Struct, frozen=True):
    """How a bundle was quantized, and what that cost."""

    recipe: Recipe
    calibration: CalibrationSpec
    float_layers: dict[Part, tuple[str, ...]]
    """Layers of each quantized graph that stayed in float, by their names in the checkpoint."""
    quantized_layers: dict[Part, Count]
    measured: AgreementSpec
    search: SearchSpec | None


class Manifest(Struct, frozen=True):
    """Everything a runtime must know of a bundle besides its graphs."""

    schema_version: Annotated[int, Meta(extra_json_schema={"const": SCHEMA_VERSION})]
    target: Name
    """The engine that the graphs are for, such as ``openvino``."""
    source: SourceSpec
    input: InputSpec
    things: tuple[Name, ...]
    """Class names of instances, by class index."""
    category_ids: tuple[CategoryId, ...]
    """Category id of each of ``things``, as the data set numbers it; results are written with these."""
    stuff: tuple[Name, ...]
    """Class names of a panoptic model's semantic map; empty otherwise."""
    decode: DecodeSpec
    attention: AttentionSpec
    blend: BlendSpec
    panoptic: PanopticSpec | None
    graphs: dict[Part, GraphSpec]
    tools: dict[str, str]
    """Versions of the packages that made the bundle."""
    verification: VerificationSpec
    """Verification of the float graphs, also in a bundle quantized from them."""
    quantization: QuantizationSpec | None
    """How the bundle was quantized; None for a bundle in float."""
    notes: tuple[str, ...] = ()
    """What the conversion assumed because it was not told, one line each."""

    @property
    def files(self) -> tuple[FileSpec, ...]:
        """All files of the bundle except the manifest itself."""
        graph_files = [file for graph in self.graphs.values() for file in graph.files]
        return (*graph_files, *([self.attention.file] if self.attention.file else []))


class _Version(msgspec.Struct):
    schema_version: Annotated[int, Meta(ge=0, le=2**31 - 1)]


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON, the same bytes for equal manifests.

    Raises:
        BundleError: no reader would take it.
    """
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    decode_manifest(data, source="what would be written")
    return data


def decode_manifest(data: bytes, *, source: str) -> Manifest:
    """Read and check a manifest.

    Args:
        data: the content of ``manifest.json``.
        source: what to call it in errors.

    Raises:
        BundleError: not JSON, another schema version, an unknown or missing field, a value out of range, or
            fields that contradict each other.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise BundleError(
                f"{source}: schema version {version} is not supported: this edgeblend reads version "
                f"{SCHEMA_VERSION}; convert the checkpoint again, or install the edgeblend that wrote it"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except NOT_JSON as error:
        raise BundleError(f"{source}: not a valid manifest: {error}; {_ADVICE}") from None
    if problems := contradictions(manifest):
        raise BundleError(f"{source}: not a valid manifest: {problems}; {_ADVICE}")
    return manifest
