"""What an Intel NPU would refuse of an OpenVINO bundle, named before anybody has the device at hand.

It follows what is published, and was never held against a device:

- OpenVINO's page on the NPU device (docs.openvino.ai, "NPU Device"): static shapes alone; computes in
  float16, quantized models in INT8; and the plugin's README (openvinotoolkit/openvino,
  ``src/plugins/intel_npu``).
- The compiler's sources (openvinotoolkit/npu_compiler, commit e6abb230): its table of the operations that it
  imports (``src/vpux_compiler/src/frontend/IE.cpp``), the element types there, and the numbers of
  quantization levels that it has a type for (``src/vpux_compiler/src/utils/quantization.cpp``).

The compiler comes with the driver or with OpenVINO, and each version imports more than the last. What an
older driver does not have, and what depends on sizes, is for the device itself to say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import openvino as ov
from openvino.passes import ConstantFolding, Manager

from edgeblend.bundle import Bundle
from edgeblend.errors import BundleError, InputError
from edgeblend.manifest import Part
from edgeblend.processes.third_party_warnings import warnings_are_no_errors

Severity = Literal["refused", "doubtful"]

_FORMAT = "openvino-ir"

_IMPORTED = frozenset(
    """
    Abs Acos Acosh AdaptiveAvgPool AdaptiveMaxPool Add Asin Asinh Assign Atan Atanh AvgPool
    BatchNormInference BatchToSpace BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Broadcast Bucketize
    CTCGreedyDecoder CTCGreedyDecoderSeqLen Ceiling Clamp Concat Constant Convert ConvertLike
    Convolution ConvolutionBackpropData Cos Cosh CumSum DFT DeformableConvolution DeformablePSROIPooling
    DepthToSpace DetectionOutput Divide Einsum Elu EmbeddingBagOffsetsSum EmbeddingBagPackedSum
    EmbeddingSegmentsSum Equal Erf Exp ExperimentalDetectronROIFeatureExtractor ExtractImagePatches Eye
    FakeConvert FakeQuantize Floor FloorMod GRN GRUCell GRUSequence Gather GatherElements GatherND
    GatherTree Gelu Greater GreaterEqual GridSample GroupConvolution GroupConvolutionBackpropData
    GroupNormalization HSigmoid HSwish HardSigmoid I420toBGR I420toRGB IDFT IRDFT If Interpolate Inverse
    LRN LSTMCell LSTMSequence Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr LogicalXor
    Loop MVN MatMul MaxPool Maximum Minimum Mish Mod Multiply NV12toBGR NV12toRGB Negative
    NonMaxSuppression NonZero NormalizeL2 NotEqual OneHot PRelu PSROIPooling Pad Parameter Power
    Proposal RDFT ROIAlign ROIPooling RandomUniform Range ReadValue ReduceL1 ReduceL2 ReduceLogicalAnd
    ReduceLogicalOr ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum RegionYolo Relu ReorgYolo
    Reshape Result Reverse ReverseSequence Roll Round ScaledDotProductAttention ScatterElementsUpdate
    ScatterNDUpdate ScatterUpdate Select Selu ShapeOf ShuffleChannels Sigmoid Sign Sin Sinh Slice
    SoftPlus Softmax SpaceToBatch SpaceToDepth Split Sqrt SquaredDifference Squeeze StridedSlice
    Subtract Swish Tan Tanh TensorIterator Tile TopK Transpose Unsqueeze VariadicSplit
    """.split()  # noqa: SIM905 - the list would be 160 lines
)
"""Operations that the compiler imports, or that its passes replace by such before it does."""

_DOUBTFUL = {
    "DeformableConvolution": (
        "the compiler imports it since late 2024, older drivers do not; a software kernel computes it, "
        "not the arrays that compute convolutions"
    ),
}
_TYPES = frozenset(
    ("f32", "f16", "bf16", "f8e4m3", "f8e5m2", "nf4", "boolean")
    + ("i64", "i32", "i16", "i8", "i4", "u64", "u32", "u16", "u8", "u4", "u2")
)
_LEVELS = (256, 255, 16, 15, 2)
_LARGEST_RANK = 5


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing that an NPU would refuse, or may."""

    graph: Part
    severity: Severity
    operation: str
    """Its type, such as ``Convolution``."""
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class NpuLint:
    """What was looked at, and what was found. It follows documentation; no NPU was asked."""

    findings: tuple[LintFinding, ...]
    """The refused before the doubtful, graph by graph."""
    operations: dict[Part, dict[str, int]]
    """How many of each type a graph has once constants are folded, as the compiler does first."""
    notes: tuple[str, ...]
    """What an NPU does differently without refusing."""

    @property
    def refused(self) -> bool:
        """Whether something was found that an NPU does not take."""
        return any(finding.severity == "refused" for finding in self.findings)


@warnings_are_no_errors()
def lint_for_npu(bundle: str | Path | Bundle) -> NpuLint:
    """Return what an Intel NPU would refuse of a bundle.

    Raises:
        InputError: the bundle is not for OpenVINO.
        BundleError: OpenVINO cannot read a graph.

    Example:
        >>> edgeblend.lint_for_npu("bundle").findings
        ()
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    findings: list[LintFinding] = []
    operations: dict[Part, dict[str, int]] = {}
    types: set[str] = set()
    for part, graph in bundle.manifest.graphs.items():
        if graph.format != _FORMAT:
            raise InputError(
                f"{bundle.path}: its {part} graph is {graph.format}; the lint for Intel's NPUs reads "
                f"{_FORMAT!r}: convert with `--target openvino`"
            )
        model = _read_folded(bundle, part)
        findings += lint_model(part, model)
        nodes = _computed(model)
        operations[part] = dict(sorted(Counter(node.get_type_name() for node in nodes).items()))
        types |= {kind for node in nodes for kind in _element_types(node)}
    order: tuple[Severity, ...] = ("refused", "doubtful")
    return NpuLint(
        tuple(finding for severity in order for finding in findings if finding.severity == severity),
        operations,
        _notes(types),
    )


def lint_model(part: Part, model: ov.Model) -> list[LintFinding]:
    """Return what an Intel NPU would refuse of one graph, whose constants are folded."""
    findings: list[LintFinding] = []
    for node in _computed(model):
        kind, name = str(node.get_type_name()), str(node.get_friendly_name())
        findings += [
            LintFinding(part, severity, kind, name, reason) for severity, reason in _problems(node, kind)
        ]
    return findings


def _problems(node: ov.Node, kind: str) -> list[tuple[Severity, str]]:
    found: list[tuple[Severity, str]] = []
    if kind not in _IMPORTED:
        found.append(("refused", "the NPU's compiler does not have this operation"))
    if kind in _DOUBTFUL:
        found.append(("doubtful", _DOUBTFUL[kind]))
    if kind == "FakeQuantize" and (levels := node.get_attributes()["levels"]) not in _LEVELS:
        known = ", ".join(str(number) for number in _LEVELS)
        found.append(("refused", f"{levels} quantization levels; the NPU's compiler knows {known}"))
    found += [
        ("refused", f"computes in {name}, which the NPU's compiler has no type for")
        for name in sorted(_element_types(node) - _TYPES)
    ]
    return found + _shape_problems(node, kind)


def _shape_problems(node: ov.Node, kind: str) -> list[tuple[Severity, str]]:
    if kind == "Result":  # has the shape of what it is fed
        return []
    shapes = [output.get_partial_shape() for output in node.outputs()]
    if kind == "Parameter" and shapes[0].is_dynamic:
        return [
            ("refused", f"its shape {shapes[0]} is open; NPUs take static shapes: convert with a fixed size")
        ]
    if any(shape.is_dynamic for shape in shapes):
        # What follows from an open input is named there; sizes that depend on values have no other place.
        inputs = [port.get_partial_shape() for port in node.inputs()]
        values_decide = not any(shape.is_dynamic for shape in inputs)
        return [("refused", "its size depends on values; NPUs take static shapes")] if values_decide else []
    found: list[tuple[Severity, str]] = []
    if kind == "Parameter" and len(shapes[0]) > 0 and shapes[0][0].get_length() != 1:
        found.append(("doubtful", f"a batch of {shapes[0][0].get_length()}, which the plugin takes apart"))
    rank = max((len(shape) for shape in shapes), default=0)
    if rank > _LARGEST_RANK:
        found.append(("doubtful", f"a tensor of {rank} dimensions; NPUs' layouts have {_LARGEST_RANK}"))
    return found


def _read_folded(bundle: Bundle, part: Part) -> ov.Model:
    file = bundle.graph_files(part)[0]
    try:
        model = ov.Core().read_model(file)
    except RuntimeError as error:
        raise BundleError(f"{file}: OpenVINO cannot read the {part} graph: {error}") from error
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
    return model


def _computed(model: ov.Model) -> list[ov.Node]:
    """Return the nodes in order without the constants."""
    return [node for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]


def _element_types(node: ov.Node) -> set[str]:
    return {str(output.get_element_type().get_type_name()) for output in node.outputs()}


def _notes(types: set[str]) -> tuple[str, ...]:
    notes = ["this follows published sources; no NPU was asked"]
    if "f32" in types:
        notes.append("what is float32 here an NPU computes in float16: open the bundle with precision f16")
    if types & {"i64", "u64"}:
        notes.append("integers of 64 bits are computed in 32")
    return tuple(notes)
