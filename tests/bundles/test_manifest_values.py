"""Every number, name and size of a manifest has its range, and fits the others."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bundle_factory import make_quantization, write_tiny_bundle

from edgeblend.errors import BundleError
from edgeblend.manifest import MANIFEST_NAME, decode_manifest, encode_manifest
from edgeblend.manifest_schema import manifest_schema

HUGE = 2**64
SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "manifest.schema.json"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The manifest of a quantized bundle, as JSON has it."""
    folder = write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    content = json.loads((folder / MANIFEST_NAME).read_text())
    return {**content, "quantization": msgspec.to_builtins(make_quantization())}


def changed(good: dict[str, Any], path: str, value: object) -> bytes:
    """Return the manifest with another value at a path such as ``decode/levels/0/stride``."""
    content = copy.deepcopy(good)
    *above, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    node: Any = content
    for key in above:
        node = node[key]
    node[last] = value
    return json.dumps(content).encode()


def test_the_manifest_itself_is_read(good: dict[str, Any]) -> None:
    assert decode_manifest(json.dumps(good).encode(), source="m").quantization is not None


RANGES: dict[str, tuple[list[object], list[object]]] = {
    # what is refused, and what is taken
    "input/height": ([0, -1, 8193, 2**31, 2**63, HUGE, 1.5], [1, 8192]),
    "input/width": ([0, -1, 8193, 2**31, 2**63, HUGE, None], [1, 8192]),
    "input/min_size": ([0, -1, 65, 2**31, HUGE], [1, 64]),
    "input/max_size": ([0, -1, 31, 2**31, HUGE], [32, 2**31 - 1]),
    "input/pad_value/0": ([-1, 256, HUGE, 1.5], [0, 255]),
    "input/pad_value": ([[0, 0], [0, 0, 0, 0]], [[0, 0, 0]]),
    "things/0": (["", "dog", "x" * 1025, None], ["x", "x" * 1024]),
    "decode/levels": ([[]], []),
    "decode/levels/0/stride": ([0, -1, 7, 16, 2**63, HUGE], []),
    "decode/levels/0/name": (["", "p", "p4", "level3", "p3\n"], []),
    "decode/num_classes": ([0, -1, 3, HUGE], []),
    "decode/score_threshold": ([-0.1, 1, 1.5, 1e308], [0, 0.99]),
    "decode/nms_threshold": ([-0.1, 2.0, 1e308], [0, 1]),
    "decode/pre_nms_top_k": ([0, -1, 100_001, HUGE], [1, 100_000]),
    "decode/max_detections": ([0, -1, 10_001, HUGE], [1, 10_000]),
    "blend/num_bases": ([0, -1, HUGE], [1]),
    "blend/attention_size": ([0, -1, HUGE], [1]),
    "blend/mask_size": ([0, -1, 65536, 1024, HUGE], [1, 512]),
    "blend/basis_stride": ([0, -1, 1, 8, HUGE], [4]),
    "panoptic": ([{"overlap_threshold": 0.5, "stuff_area_limit": 0, "instance_score_threshold": 0.5}], []),
    "stuff": ([["sky"]], []),
    "attention/file/size": ([-1, 2**63, HUGE], [0]),
    "attention/file/sha256": (["", "0" * 63, "0" * 64 + "\n", "G" * 64], ["0" * 64]),
    "attention/file/name": (["", "a/b", ".a", "a\n", "a" * 256, "detector.xml", MANIFEST_NAME], ["a" * 255]),
    "target": (["", "mine", "tflite"], []),
    "source/config": ([""], ["x"]),
    "graphs/detector/format": (["", "x", "onnx"], []),
    "graphs/detector/files": ([[]], []),
    "graphs/detector/files/0/name": (["detector.bin", "detector.onnx", "detector"], ["other.xml"]),
    "graphs/basis/inputs": ([[]], []),
    "graphs/detector/inputs/0/layout": (["NCHW", "nhwc"], []),
    "graphs/detector/inputs/0/level": (["p3", ""], []),
    "graphs/detector/outputs/0/level": ([None, "", "p9"], []),
    "graphs/detector/outputs/0/name": (["", "box_reg_p3", "another"], []),
    "graphs/detector/outputs/3/name": (["", "box_reg_p3"], ["another"]),
    "graphs/detector/outputs/0/role": (["image", "bases", "box_reg", "pyramid"], []),
    "graphs/basis/outputs/0/level": (["p3"], []),
    "verification/tolerance/max_error": ([-1e-3], [0, 1e308]),
    "verification/tolerance/box_iou": ([-0.1, 1.1], [0, 1]),
    "verification/tolerance/matched": ([-0.1, 1.1], [0, 1]),
    "verification/tolerance/mask_iou": ([-0.1, 1.1], [0, 1]),
    "verification/pictures/0/0": ([0, -1, HUGE], [1]),
    "verification/detections": ([-1, 2, HUGE], [3, 4]),
    "verification/matched": ([-1, 4, HUGE], [0, 3]),
    "verification/lowest_mask_iou": ([-0.1, 1.1], [0, 1, None]),
    "verification/tensors/0/max_error": ([-1], [0]),
    "verification/tensors/0/tensor": (["", "nobody", "cls_logits_p3"], []),
    "verification/tensors/0/graph": (["detector", "head"], []),
    "quantization/measured/tensors/0/tensor": (["", "nobody", "box_reg_p3"], []),
    "quantization/calibration/frames": ([-1, HUGE], [0]),
    "quantization/calibration/seen": ([-1, HUGE], [0]),
    "quantization/calibration/unreadable": ([-1, HUGE], [0]),
    "quantization/calibration/near_duplicates": ([-1, HUGE], [0]),
    "quantization/calibration/seed": ([-1], [0, HUGE]),
    "quantization/quantized_layers/detector": ([-1, HUGE], [0]),
    "quantization/measured/agreement": ([-1, 100.5], [0, 100]),
    "quantization/measured/frames": ([-1, HUGE], [0]),
    "quantization/search/pictures": ([-1, HUGE], [0]),
    "quantization/search/steps/0/float_layers": ([-1, HUGE], [0]),
    "quantization/recipe/name": ([""], ["x"]),
    "quantization/recipe/float_layers": ([[""]], [["a*"]]),
}


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, (refused, _) in RANGES.items() for value in refused]
)
def test_what_is_out_of_range_is_refused(good: dict[str, Any], path: str, value: object) -> None:
    with pytest.raises(
        BundleError, match="m: not a valid manifest: .*; copy or convert the bundle again"
    ) as caught:
        decode_manifest(changed(good, path, value), source="m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, (_, taken) in RANGES.items() for value in taken]
)
def test_what_is_in_range_is_read(good: dict[str, Any], path: str, value: object) -> None:
    decode_manifest(changed(good, path, value), source="m")


@pytest.mark.parametrize(
    ("size", "taken"),
    [((4320, 7680), True), ((4320, 7768), False), ((8192, 4096), True), ((8192, 4097), False)],
)
def test_a_canvas_of_8k_fits_and_what_would_take_gigabytes_does_not(
    good: dict[str, Any], size: tuple[int, int], taken: bool
) -> None:
    static = {**good["input"], "height": size[0], "width": size[1]}
    dynamic = {**good["input"], "height": None, "width": None, "min_size": min(size), "max_size": max(size)}
    for spec in (static, dynamic):
        data = changed(good, "input", spec)
        if taken:
            decode_manifest(data, source="m")
        else:
            with pytest.raises(BundleError, match=r"a canvas of \d+ x \d+ pixels is too large: at most 8192"):
                decode_manifest(data, source="m")


@pytest.mark.parametrize(
    ("dtype", "zero_point", "taken"),
    [
        ("int8", -128, True),
        ("int8", 127, True),
        ("int8", 128, False),
        ("uint8", 255, True),
        ("uint8", -1, False),
    ],
)
def test_a_zero_point_is_one_of_its_type(
    good: dict[str, Any], dtype: str, zero_point: int, taken: bool
) -> None:
    tensor = {
        **good["graphs"]["basis"]["outputs"][0],
        "dtype": dtype,
        "quantization": {"scale": 0.5, "zero_point": zero_point},
    }
    data = changed(good, "graphs/basis/outputs/0", tensor)
    if taken:
        decode_manifest(data, source="m")
    else:
        with pytest.raises(
            BundleError, match=f"basis tensor bases is {dtype} and has the zero point {zero_point}"
        ):
            decode_manifest(data, source="m")


@pytest.mark.parametrize("scale", [1e-39, 0.0, -1.0, 3.5e38, 1e308])
def test_a_scale_is_one_that_float32_holds(good: dict[str, Any], scale: float) -> None:
    tensor = {
        **good["graphs"]["basis"]["outputs"][0],
        "dtype": "int8",
        "quantization": {"scale": scale, "zero_point": 0},
    }
    with pytest.raises(BundleError, match="quantization.scale"):
        decode_manifest(changed(good, "graphs/basis/outputs/0", tensor), source="m")


@pytest.mark.parametrize("twice", ["name", "role"])
def test_tensors_that_occur_twice(good: dict[str, Any], twice: str) -> None:
    outputs = good["graphs"]["detector"]["outputs"]
    another = {**outputs[0], "name": "another"} if twice == "role" else {**outputs[-1], "level": "p4"}
    message = "two outputs cls_logits p3" if twice == "role" else "the detector output p3 occurs twice"
    with pytest.raises(BundleError, match=message):
        decode_manifest(changed(good, "graphs/detector/outputs", [*outputs, another]), source="m")


def leaves(node: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    below = [leaf for key, value in pairs for leaf in leaves(value, (*path, str(key)))]
    yield from below or ["/".join(path)]


def test_whatever_stands_at_any_place_is_read_or_refused(good: dict[str, Any]) -> None:
    values = [0, -1, 1, 2**31, 2**63, HUGE, 10**4000, 1e308, "", "x" * 300, "\n\x1b", None, [], {}, True]
    values += [float("nan"), float("inf"), [[]] * 3, {"a": {}}]
    refused = 0
    for path in leaves(good):
        for value in values:
            try:
                decode_manifest(changed(good, path, value), source="m")
            except BundleError as error:
                refused += 1
                assert str(error).isprintable() and len(str(error)) < 4000, (path, value)
    assert refused > 1000


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"schema_version": 4, "x": ' + b"[" * 100_000,
        b'{"schema_version": "\xff"}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_hostile_as_json(data: bytes) -> None:
    with pytest.raises(BundleError, match="m: not a valid manifest"):
        decode_manifest(data, source="m")


def test_what_no_reader_takes_is_not_written(good: dict[str, Any]) -> None:
    manifest = decode_manifest(json.dumps(good).encode(), source="m")
    wrong = msgspec.structs.replace(
        manifest, decode=msgspec.structs.replace(manifest.decode, max_detections=0)
    )
    with pytest.raises(BundleError, match="what would be written: .*max_detections"):
        encode_manifest(wrong)


def test_the_published_schema_is_that_of_the_code() -> None:
    assert SCHEMA_FILE.read_bytes() == manifest_schema(), (
        "run `python -m edgeblend.manifest_schema > docs/manifest.schema.json`"
    )


def test_the_schema_has_the_ranges() -> None:
    definitions = json.loads(manifest_schema())["$defs"]
    assert definitions["DecodeSpec"]["properties"]["max_detections"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 10_000,
    }
    assert definitions["InputSpec"]["properties"]["pad_value"]["prefixItems"][0]["maximum"] == 255
    assert definitions["FileSpec"]["properties"]["name"]["pattern"] == "^[A-Za-z0-9][A-Za-z0-9._-]*$"
    assert not definitions["Manifest"]["additionalProperties"]
