from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import CLASS_NAMES

import edgeblend
from edgeblend.converters import targets
from edgeblend.converters.split import attention_weights, input_shapes, split_network
from edgeblend.errors import ConfigError, ConversionError, EngineError, InputError, OutputError
from edgeblend.manifest import MANIFEST_NAME
from edgeblend.model.blendmask import build_network
from edgeblend.model.config import load_config

pytest.importorskip("openvino")


ONE = np.zeros((40, 60, 3), np.uint8)
NOTHING = edgeblend.Recipe(name="nothing", detector="fp32", basis="fp16")
OTHER = edgeblend.Recipe(name="other", toolkit="ai-edge-quantizer", bias_correction="none")


@pytest.fixture
def convert(tiny_model, tmp_path):
    def run(out: Path | None = None, **options):
        options = {"config": tiny_model.config, "class_names": CLASS_NAMES, **options}
        return edgeblend.convert(tiny_model.checkpoint, out or tmp_path / "out", **options)

    return run


def test_the_manifest_says_what_was_converted(tiny_bundle, tiny_model) -> None:
    manifest = tiny_bundle.manifest
    assert (manifest.source.config, manifest.source.checkpoint) == ("tiny.yaml", "tiny.pth")
    assert manifest.things == CLASS_NAMES
    assert (manifest.input.height, manifest.input.width) == (160, 224)
    assert [level.stride for level in manifest.decode.levels] == [8, 16, 32]
    assert manifest.attention.file.name == "attention.safetensors"
    assert set(manifest.tools) == {"edgeblend", "openvino", "torch"}
    assert max(error.max_error for error in manifest.verification.tensors) < 1e-3
    assert len(manifest.verification.tensors) == 3 * 4 + 3 + 1


def test_the_same_checkpoint_gives_the_same_files(tiny_bundle, convert) -> None:
    again = convert()
    assert again.manifest.files == tiny_bundle.manifest.files
    assert again.manifest.source == tiny_bundle.manifest.source
    assert again.manifest.attention == tiny_bundle.manifest.attention


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "int4"}, InputError, "precision: unknown value 'int4'"),
        ({"attention": "none"}, InputError, "attention: unknown value"),
        ({"target": "abacus"}, EngineError, "unknown target 'abacus'; known are openvino"),
        ({"input_size": (0, 0)}, InputError, "32 to 8192"),
        ({"input_size": (64, 99999)}, InputError, "32 to 8192"),
        ({"input_size": (64.0, 96)}, InputError, "32 to 8192"),
        ({"input_size": (64, 96), "dynamic": True}, InputError, "input_size or dynamic, not both"),
        ({"class_names": None}, InputError, "3 classes and not COCO's 80"),
        ({"input_size": 640}, InputError, r"input_size: expected \(height, width\) .* got 640"),
        ({"input_size": "64x96"}, InputError, "got '64x96'"),
        ({"input_size": (64,)}, InputError, r"got \(64,\)"),
        ({"input_size": (True, 96)}, InputError, "32 to 8192"),
        ({"class_names": ("cup", "spoon")}, InputError, "3 classes, got 2 names: cup, spoon"),
        ({"class_names": ("cup", "cup", "table")}, InputError, "'cup' is given more than once"),
        ({"class_names": ("cup", " ", "table")}, InputError, "a name is empty"),
        ({"class_names": "cup"}, InputError, "cup: no such file; expected class names"),
        ({"class_names": 3}, InputError, "class_names: expected names or the path of a file"),
        ({"class_names": ("1\tcup", "spoon", "table")}, InputError, "line 2: expected ID<TAB>NAME"),
        ({"class_names": ("cup\nspoon", "spoon", "table")}, InputError, "has a line break"),
        ({"class_names": (1, 2, 3)}, InputError, "class_names: expected names, got 1"),
        ({"category_ids": (3, 7)}, InputError, "2 category ids for 3 classes"),
        ({"category_ids": (3, 7, 3)}, InputError, "category id 3 is given more than once"),
        ({"category_ids": (3, 7, 2**63)}, InputError, "9223372036854775808 does not fit into 64 bits"),
        ({"category_ids": ("3", "7", "9")}, InputError, "category_ids: expected whole numbers"),
        ({"category_ids": 3}, InputError, "category_ids: expected whole numbers"),
        ({"category_ids": (1, 2, 3), "class_names": None}, InputError, "without class_names"),
        ({"config": None}, InputError, "config: .* needs one"),
        ({"config": "R_50_9x"}, ConfigError, "R_50_3x"),
        ({"verify_on": "nowhere"}, InputError, "nowhere"),
        ({"verify_on": 3}, InputError, "verify_on: expected a path"),
        ({"verify_on": []}, InputError, "verify_on: holds no image"),
        ({"verify_on": [None]}, InputError, "verify_on: frame 0 cannot be used: None came instead"),
        ({"recipe": "int8"}, InputError, "recipe: has no effect without calibration"),
        ({"count": 7}, InputError, "count: has no effect without calibration"),
        ({"calibration": 3}, InputError, "calibration: expected a path"),
        ({"calibration": "nowhere"}, InputError, "nowhere"),
        ({"calibration": [ONE, ONE], "precision": "fp16"}, InputError, "weights in fp16 cannot be quantized"),
        ({"calibration": [ONE, ONE], "recipe": "int4"}, InputError, "int4: no such recipe"),
        ({"calibration": [ONE, ONE], "recipe": NOTHING}, InputError, "leaves both graphs in float"),
        ({"calibration": [ONE, ONE], "recipe": OTHER}, InputError, "ai-edge-quantizer quantizes graphs of"),
        ({"calibration": [ONE, ONE], "count": 0}, InputError, "at least 1 frame"),
        ({"calibration": [ONE, ONE]}, InputError, "one picture .1 others look like it. cannot show"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(convert, tmp_path, options, error, message) -> None:
    steps: list[str] = []
    with pytest.raises(error, match=message):
        convert(**options, progress=steps.append)
    assert list(tmp_path.iterdir()) == []
    assert "reading the checkpoint" not in steps


def test_an_existing_output_is_refused_before_the_work(convert, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    steps: list[str] = []
    with pytest.raises(OutputError, match="already exists"):
        convert(progress=steps.append)
    assert steps == []


def test_a_conversion_that_differs_is_refused_and_leaves_nothing(convert, tmp_path, monkeypatch) -> None:
    target = targets.load_target("openvino")
    export = target.export_graph

    def export_another(graph, folder, **options):
        with torch.no_grad():
            layer = graph.module.network.proposal_generator.fcos_head.cls_logits
            original = layer.weight.clone()
            layer.weight[0, 0] += 0.05
            try:
                return export(graph, folder, **options)
            finally:
                layer.weight.copy_(original)

    monkeypatch.setattr(target, "export_graph", export_another)
    with pytest.raises(ConversionError, match="nothing was written: detector output cls_logits_p3"):
        convert()
    assert list(tmp_path.iterdir()) == []


def test_a_zip_is_made_when_the_name_says_so(convert, tmp_path, photograph) -> None:
    bundle = convert(tmp_path / "tiny.zip", attention="dense", input_size=(96, 131))
    assert (tmp_path / "tiny.zip").is_file()
    assert bundle.manifest.attention.file is None
    with edgeblend.Segmenter.load(bundle) as segmenter:
        assert segmenter.info.canvas == (96, 131)
        assert segmenter(photograph).frame_size == (400, 600)


def test_a_dynamic_manifest_has_no_canvas(convert) -> None:
    manifest = convert(dynamic=True).manifest
    assert (manifest.input.height, manifest.input.width) == (None, None)
    assert (manifest.input.min_size, manifest.input.max_size) == (160, 224)
    assert len(manifest.verification.pictures) == 2


def test_graphs_hold_no_batch_norm(tiny_bundle) -> None:
    text = tiny_bundle.graph_files("detector")[0].read_text()
    assert "BatchNorm" not in text
    assert "Convolution" in text


def test_the_manifest_is_readable_json(tiny_bundle) -> None:
    content = json.loads((tiny_bundle.folder / MANIFEST_NAME).read_text())
    assert content["schema_version"] == 4
    assert content["input"]["pad_value"] == [104, 116, 124]


def test_input_shapes_of_both_graphs(tiny_model) -> None:
    detector, basis = split_network(build_network(load_config(tiny_model.config)), attention="sparse")
    assert input_shapes(detector, (96, 131), 32) == ((1, 96, 131, 3),)
    assert input_shapes(detector, None, 32) == ((1, None, None, 3),)
    # 96 x 131 is padded to 96 x 160.
    assert input_shapes(basis, (96, 131), 32) == ((1, 32, 12, 20), (1, 32, 6, 10), (1, 32, 3, 5))
    assert input_shapes(basis, None, 32) == ((1, 32, None, None),) * 3


def test_the_attention_matrix_is_the_convolution(tiny_model) -> None:
    network = build_network(load_config(tiny_model.config))
    layer = attention_weights(network)
    patch = torch.randn(1, 32, 3, 3)
    with torch.inference_mode():
        expected = torch.nn.functional.conv2d(patch, network.top_layer.weight, network.top_layer.bias)
    rows = patch[0].permute(1, 2, 0).reshape(-1).numpy()  # kernel row, kernel column, channel
    np.testing.assert_allclose(rows @ layer["weight"] + layer["bias"], expected.flatten(), atol=1e-5)


def test_how_the_checkpoint_was_read_is_noted(tiny_model, tmp_path):
    state = {f"model.{name}": torch.from_numpy(value) for name, value in tiny_model.state.items()}
    torch.save({"state_dict": state}, tmp_path / "wrapped.pth")
    bundle = edgeblend.convert(
        tmp_path / "wrapped.pth", tmp_path / "out", config=tiny_model.config, class_names=CLASS_NAMES
    )
    assert bundle.manifest.notes == ("names are read without their common prefix 'model.'",)
