from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from bundle_factory import edit_manifest, make_quantization, write_tiny_bundle

from edgeblend.bundle import Bundle
from edgeblend.errors import BundleError
from edgeblend.manifest import MANIFEST_NAME, Manifest, decode_manifest, encode_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "tiny")


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    data = (folder / MANIFEST_NAME).read_bytes()
    assert encode_manifest(decode_manifest(data, source="m")) == data


def test_an_unknown_schema_version_says_both(folder: Path) -> None:
    edit_manifest(folder, schema_version=7)
    with pytest.raises(BundleError, match=r"schema version 7 is not .* reads version 4"):
        Bundle.load(folder)


def test_a_newer_version_is_told_before_its_unknown_fields(folder: Path) -> None:
    edit_manifest(folder, schema_version=9, novelty=True)
    with pytest.raises(BundleError, match="schema version 9"):
        Bundle.load(folder)


def test_an_unknown_field_is_named(folder: Path) -> None:
    edit_manifest(folder, novelty=True)
    with pytest.raises(BundleError, match="novelty"):
        Bundle.load(folder)


def test_a_missing_field_is_named(folder: Path) -> None:
    path = folder / MANIFEST_NAME
    content = json.loads(path.read_text())
    del content["decode"]["nms_threshold"]
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"nms_threshold.*decode"):
        Bundle.load(folder)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schema_version": "one"}', b"\xff\xfe"])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(BundleError, match="not a valid manifest"):
        decode_manifest(data, source="m")


@pytest.mark.parametrize("name", ["../detector.xml", "/etc/passwd", ".hidden", "a/b.xml", ""])
def test_file_names_with_folders_are_refused(folder: Path, name: str) -> None:
    path = folder / MANIFEST_NAME
    content = json.loads(path.read_text())
    content["graphs"]["detector"]["files"][0]["name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="unsafe file name"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"things": ["cat"]}, "1 class names for 2 classes"),
        ({"attention": {"mode": "dense", "file": None}}, "no output attention p3"),
        ({"attention": {"mode": "sparse", "file": None}}, "sparse attention needs a weights file"),
        ({"graphs": {}}, "graph 'basis' is missing"),
        (
            {"input": {"height": 32, "width": None, "min_size": 1, "max_size": 2, "pad_value": [0, 0, 0]}},
            "both be numbers",
        ),
    ],
)
def test_fields_that_contradict_each_other(folder: Path, changes: dict[str, object], message: str) -> None:
    edit_manifest(folder, **changes)
    with pytest.raises(BundleError, match=message):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("dtype", "quantization", "message"),
    [
        ("int8", None, "detector tensor box_reg_p3 is int8 and has no scale"),
        ("uint8", None, "detector tensor box_reg_p3 is uint8 and has no scale"),
        ("float32", {"scale": 0.5, "zero_point": 0}, "detector tensor box_reg_p3 is float32 and has a scale"),
        (
            "int8",
            {"scale": 0.0, "zero_point": 0},
            r"`float` >= 1.17.*outputs\[1\].quantization.scale",
        ),
        (
            "int8",
            {"scale": -1.0, "zero_point": 0},
            r"`float` >= 1.17.*outputs\[1\].quantization.scale",
        ),
        ("int8", {"scale": 0.5}, "zero_point"),
        ("int16", {"scale": 0.5, "zero_point": 0}, "int16"),
        ("int8", {"scale": 0.5, "zero_point": 3}, None),
        ("float32", None, None),
    ],
)
def test_integers_need_a_scale(folder: Path, dtype: str, quantization: object, message: str | None) -> None:
    path = folder / MANIFEST_NAME
    content = json.loads(path.read_text())
    (tensor,) = [one for one in content["graphs"]["detector"]["outputs"] if one["role"] == "box_reg"]
    tensor |= {"dtype": dtype, "quantization": quantization}
    path.write_text(json.dumps(content))
    if message is None:
        spec = Bundle.load(folder).graph("detector").outputs[1]
        assert msgspec.to_builtins(spec.quantization) == quantization
    else:
        with pytest.raises(BundleError, match=message):
            Bundle.load(folder)


def with_int8(folder: Path, **changes: object) -> Manifest:
    """The manifest with its detector in INT8, and changes."""
    manifest = Bundle.load(folder).manifest
    detector = msgspec.structs.replace(manifest.graphs["detector"], precision="int8")
    return msgspec.structs.replace(
        manifest, **{"graphs": {**manifest.graphs, "detector": detector}, "quantization": None, **changes}
    )


def test_graphs_in_int8_say_how_they_were_quantized(folder: Path) -> None:
    with pytest.raises(BundleError, match="int8 graphs need to say how they were quantized"):
        decode_manifest(encode_manifest(with_int8(folder)), source="m")


def test_a_quantization_is_read_as_it_was_written(folder: Path) -> None:
    made = with_int8(folder, quantization=make_quantization())
    data = encode_manifest(made)
    read = decode_manifest(data, source="m")
    assert read == made
    assert read.quantization == make_quantization()
    assert encode_manifest(read) == data
    without_search = with_int8(folder, quantization=make_quantization(search=None))
    assert decode_manifest(encode_manifest(without_search), source="m").quantization.search is None


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("recipe", "novelty"), 1, "novelty"),
        (("recipe", "bias_correction"), "some", "bias_correction"),
        (("calibration", "sha256"), "1", "sha256"),
        (("calibration", "frames"), "nine", "frames"),
        (("float_layers", "semantic"), [], "semantic"),
        (("measured", "agreement"), None, "agreement"),
        (("search", "metric"), "recall", "metric"),
        (("search", "steps"), [{"graph": "detector"}], "drop"),
    ],
)
def test_a_quantization_is_strict(folder: Path, path: tuple[str, str], value: object, words: str) -> None:
    content = json.loads(encode_manifest(with_int8(folder, quantization=make_quantization())))
    content["quantization"][path[0]][path[1]] = value
    with pytest.raises(BundleError, match=f"not a valid manifest: .*{words}"):
        decode_manifest(json.dumps(content).encode(), source="m")


def test_a_graph_without_an_output_that_is_needed(folder: Path) -> None:
    manifest = Bundle.load(folder).manifest
    detector = manifest.graphs["detector"]
    without = msgspec.structs.replace(
        detector, outputs=tuple(spec for spec in detector.outputs if spec.role != "centerness")
    )
    broken = msgspec.structs.replace(manifest, graphs={**manifest.graphs, "detector": without})
    with pytest.raises(BundleError, match="no output centerness p3"):
        decode_manifest(encode_manifest(broken), source="m")
