from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from bundle_factory import edit_manifest, write_tiny_bundle

from edgeblend.bundle import Bundle
from edgeblend.errors import BundleError
from edgeblend.manifest import MANIFEST_NAME, decode_manifest, encode_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "tiny")


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    data = (folder / MANIFEST_NAME).read_bytes()
    assert encode_manifest(decode_manifest(data, source="m")) == data


def test_an_unknown_schema_version_says_both(folder: Path) -> None:
    edit_manifest(folder, schema_version=7)
    with pytest.raises(BundleError, match=r"schema version 7 is not .* reads version 2"):
        Bundle.load(folder)


def test_a_newer_version_is_told_before_its_unknown_fields(folder: Path) -> None:
    edit_manifest(folder, schema_version=3, novelty=True)
    with pytest.raises(BundleError, match="schema version 3"):
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


def test_a_graph_without_an_output_that_is_needed(folder: Path) -> None:
    manifest = Bundle.load(folder).manifest
    detector = manifest.graphs["detector"]
    without = msgspec.structs.replace(
        detector, outputs=tuple(spec for spec in detector.outputs if spec.role != "centerness")
    )
    broken = msgspec.structs.replace(manifest, graphs={**manifest.graphs, "detector": without})
    with pytest.raises(BundleError, match="no output centerness p3"):
        decode_manifest(encode_manifest(broken), source="m")
