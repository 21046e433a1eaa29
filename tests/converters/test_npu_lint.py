"""The lint for Intel's NPUs, on graphs of a few operations and on the tiny model."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

pytest.importorskip("openvino")

import openvino as ov
import openvino.opset15 as ops

from edgeblend.bundle import Bundle
from edgeblend.converters.openvino.npu_lint import LintFinding, lint_for_npu, lint_model
from edgeblend.errors import BundleError, InputError


def found(*outputs: ov.Output, inputs: list[ov.op.Parameter]) -> list[tuple[str, str, str]]:
    """Return severity, operation and reason of each finding."""
    findings = lint_model("detector", ov.Model(list(outputs), inputs, "graph"))
    assert {finding.graph for finding in findings} <= {"detector"}
    return [(finding.severity, finding.operation, finding.reason) for finding in findings]


def test_a_convolution_is_taken() -> None:
    image = ops.parameter([1, 3, 8, 8], np.float32, name="image")
    conv = ops.convolution(image, np.ones((4, 3, 3, 3), np.float32), [1, 1], [1, 1], [1, 1], [1, 1])
    assert found(ops.relu(conv), inputs=[image]) == []


def test_an_open_side_is_refused_at_the_input_alone() -> None:
    image = ops.parameter(ov.PartialShape([1, 3, -1, -1]), np.float32, name="image")
    assert found(ops.relu(ops.abs(image)), inputs=[image]) == [
        (
            "refused",
            "Parameter",
            "its shape [1,3,?,?] is open; NPUs take static shapes: convert with a fixed size",
        )
    ]


def test_a_size_that_depends_on_values_is_refused() -> None:
    image = ops.parameter([1, 8], np.float32, name="image")
    assert found(ops.non_zero(image), inputs=[image]) == [
        ("refused", "NonZero", "its size depends on values; NPUs take static shapes")
    ]


def test_an_operation_that_the_compiler_does_not_have_is_refused() -> None:
    image = ops.parameter([1, 8], np.float32, name="image")
    unknown = ops.is_nan(image)
    unknown.set_friendly_name("check")
    findings = lint_model("basis", ov.Model([unknown], [image], "graph"))
    assert findings == [
        LintFinding("basis", "refused", "IsNaN", "check", "the NPU's compiler does not have this operation")
    ]


def test_a_deformable_convolution_is_doubtful() -> None:
    image = ops.parameter([1, 2, 4, 4], np.float32, name="image")
    conv = ops.deformable_convolution(
        image,
        np.zeros((1, 18, 4, 4), np.float32),
        np.ones((2, 2, 3, 3), np.float32),
        strides=[1, 1],
        pads_begin=[1, 1],
        pads_end=[1, 1],
        dilations=[1, 1],
    )
    ((severity, operation, reason),) = found(conv, inputs=[image])
    assert (severity, operation) == ("doubtful", "DeformableConvolution")
    assert "older drivers do not" in reason


@pytest.mark.parametrize(("levels", "count"), [(256, 0), (255, 0), (16, 0), (128, 1)])
def test_quantization_levels(levels, count) -> None:
    image = ops.parameter([1, 8], np.float32, name="image")
    low, high = np.float32(0), np.float32(1)
    findings = found(ops.fake_quantize(image, low, high, low, high, levels), inputs=[image])
    assert len(findings) == count
    for finding in findings:
        expected = "128 quantization levels; the NPU's compiler knows 256, 255, 16, 15, 2"
        assert finding == ("refused", "FakeQuantize", expected)


def test_a_type_that_the_compiler_does_not_have_is_refused() -> None:
    image = ops.parameter([1, 8], np.float64, name="image")
    findings = found(ops.relu(image), inputs=[image])
    assert [operation for _, operation, _ in findings] == ["Parameter", "Relu", "Result"]
    assert {reason for *_, reason in findings} == {
        "computes in f64, which the NPU's compiler has no type for"
    }


def test_many_dimensions_and_batches_are_doubtful() -> None:
    image = ops.parameter([2, 8], np.float32, name="image")
    deep = ops.reshape(image, np.array([1, 2, 1, 2, 2, 2], np.int64), special_zero=False)
    assert found(deep, inputs=[image]) == [
        ("doubtful", "Parameter", "a batch of 2, which the plugin takes apart"),
        ("doubtful", "Reshape", "a tensor of 6 dimensions; NPUs' layouts have 5"),
    ]


@pytest.mark.parametrize("which", ["tiny_bundle", "tiny_int8"])
def test_nothing_of_the_tiny_model_is_refused(which, request) -> None:
    lint = lint_for_npu(request.getfixturevalue(which))
    assert lint.findings == () and not lint.refused
    assert set(lint.operations) == {"detector", "basis"}
    assert lint.operations["detector"]["Convolution"] > 0
    # Sizes are computed from shapes; they are constants before the compiler sees them.
    assert not {"ShapeOf", "FloorMod", "Constant"} & set(lint.operations["detector"])
    assert any("float16" in note for note in lint.notes)
    assert any("no NPU was asked" in note for note in lint.notes)


def test_the_tiny_model_with_an_open_canvas_is_refused(tiny_bundle) -> None:
    model = ov.Core().read_model(tiny_bundle.graph_files("detector")[0])
    model.reshape([1, -1, -1, 3])
    findings = lint_model("detector", model)
    assert [(finding.severity, finding.operation, finding.name) for finding in findings] == [
        ("refused", "Parameter", "image")
    ]


def test_another_format_is_refused(tiny_bundle) -> None:
    graphs = {
        part: msgspec.structs.replace(graph, format="onnx")
        for part, graph in tiny_bundle.manifest.graphs.items()
    }
    manifest = msgspec.structs.replace(tiny_bundle.manifest, graphs=graphs)
    with pytest.raises(InputError, match=r"graph is onnx; .*'openvino-ir'"):
        lint_for_npu(dataclasses.replace(tiny_bundle, manifest=manifest))


def test_a_file_that_openvino_cannot_read(tiny_bundle, tmp_path) -> None:
    (tmp_path / "detector.xml").write_text("<net")
    (tmp_path / "detector.bin").write_bytes(b"")
    broken: Bundle = dataclasses.replace(tiny_bundle, folder=tmp_path)
    with pytest.raises(BundleError, match="cannot read the detector graph"):
        lint_for_npu(broken)


def test_a_bundle_is_given_as_such_or_by_its_path(tiny_bundle):
    expected = lint_for_npu(tiny_bundle)
    assert lint_for_npu(tiny_bundle.path) == expected
    assert lint_for_npu(str(tiny_bundle.path)) == expected
