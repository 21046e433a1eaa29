"""Small bundles for tests: a real manifest over files of a few bytes, no engine needed."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import safetensors.numpy

from edgeblend.bundle import describe_file, stage_bundle
from edgeblend.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    AgreementSpec,
    AttentionSpec,
    CalibrationSpec,
    GraphSpec,
    Manifest,
    Part,
    QuantizationSpec,
    SearchSpec,
    SearchStep,
    SourceSpec,
    TensorError,
    TensorNoise,
    TensorSpec,
    ToleranceSpec,
    VerificationSpec,
    encode_manifest,
)
from edgeblend.recipe import Recipe
from edgeblend.spec import BlendSpec, DecodeSpec, InputSpec, LevelSpec

HEAD_ROLES = ("cls_logits", "box_reg", "centerness", "attention_features")


def tensor(role: str, level: str | None = None, dtype: str = "float32", layout: str = "NCHW") -> TensorSpec:
    name = f"{role}_{level}" if level and role != "pyramid" else (level or role)
    return TensorSpec(role=role, level=level, name=name, layout=layout, dtype=dtype)


def make_manifest(graphs: dict[Part, GraphSpec], attention: AttentionSpec) -> Manifest:
    return Manifest(
        schema_version=SCHEMA_VERSION,
        target="openvino",
        source=SourceSpec(config="tiny", checkpoint="tiny.pth", checkpoint_sha256="0" * 64),
        input=InputSpec(height=32, width=64, min_size=32, max_size=64, pad_value=(104, 116, 124)),
        things=("cat", "dog"),
        category_ids=(1, 2),
        stuff=(),
        decode=DecodeSpec(
            levels=(LevelSpec(name="p3", stride=8),),
            num_classes=2,
            score_threshold=0.05,
            threshold_with_centerness=True,
            nms_threshold=0.6,
            pre_nms_top_k=1000,
            max_detections=100,
        ),
        attention=attention,
        blend=BlendSpec(
            num_bases=4,
            attention_size=14,
            attention_interpolation="bilinear",
            mask_size=56,
            basis_stride=4,
        ),
        panoptic=None,
        graphs=graphs,
        tools={"edgeblend": "0"},
        verification=VerificationSpec(
            tolerance=ToleranceSpec(max_error=1e-3, box_iou=0.99, matched=0.98, mask_iou=0.99),
            pictures=((32, 64),),
            tensors=(TensorError(graph="basis", tensor="bases", max_error=1e-5),),
            detections=3,
            matched=3,
            lowest_mask_iou=1.0,
        ),
        quantization=None,
    )


def make_quantization(**changes: object) -> QuantizationSpec:
    """Return what a manifest says of a detector in INT8 but for one layer; ``changes`` are fields of it."""
    made = QuantizationSpec(
        recipe=Recipe(name="int8", toolkit="nncf", basis="fp32", float_roles=("box_reg",)),
        calibration=CalibrationSpec(
            source="the 12 pictures of street/",
            frames=9,
            seen=11,
            unreadable=1,
            near_duplicates=2,
            seed=3,
            sha256="1" * 64,
        ),
        float_layers={"detector": ("head.bbox_pred",)},
        quantized_layers={"detector": 6},
        measured=AgreementSpec(
            frames=9,
            agreement=97.25,
            tensors=(
                TensorNoise(graph="detector", tensor="cls_logits_p3", sqnr_db=31.5),
                TensorNoise(graph="detector", tensor="box_reg_p3", sqnr_db=28.25),
                TensorNoise(graph="basis", tensor="bases", sqnr_db=None),
            ),
        ),
        search=SearchSpec(
            metric="agreement",
            pictures=9,
            max_drop=3.0,
            drop=2.75,
            steps=(
                SearchStep(graph="detector", drop=4.5, returned=(), float_layers=0),
                SearchStep(graph="detector", drop=2.75, returned=("head.bbox_pred",), float_layers=1),
            ),
        ),
    )
    return msgspec.structs.replace(made, **changes)


def _attention_layer() -> bytes:
    """Return a layer of one channel that gives nothing."""
    outputs = 4 * 14 * 14
    weight, bias = np.zeros((9, outputs), np.float32), np.zeros(outputs, np.float32)
    return safetensors.numpy.save({"weight": weight, "bias": bias})


def write_tiny_bundle(out: Path) -> Path:
    """Write a bundle whose graphs are a few bytes of text; nothing but an engine would notice."""
    with stage_bundle(out) as folder:
        files = {}
        for name in ("detector.xml", "detector.bin", "basis.xml", "basis.bin", "attention.safetensors"):
            layer = name == "attention.safetensors"
            (folder / name).write_bytes(_attention_layer() if layer else f"content of {name}".encode())
            files[name] = describe_file(folder / name)
        graphs: dict[Part, GraphSpec] = {
            "detector": GraphSpec(
                format="openvino-ir",
                precision="fp32",
                files=(files["detector.xml"], files["detector.bin"]),
                inputs=(tensor("image", dtype="uint8", layout="NHWC"),),
                outputs=(*(tensor(role, "p3") for role in HEAD_ROLES), tensor("pyramid", "p3")),
            ),
            "basis": GraphSpec(
                format="openvino-ir",
                precision="fp32",
                files=(files["basis.xml"], files["basis.bin"]),
                inputs=(tensor("pyramid", "p3"),),
                outputs=(tensor("bases"),),
            ),
        }
        attention = AttentionSpec(mode="sparse", file=files["attention.safetensors"])
        (folder / MANIFEST_NAME).write_bytes(encode_manifest(make_manifest(graphs, attention)))
    return out


def edit_manifest(folder: Path, **changes: object) -> None:
    """Overwrite top-level fields of a bundle folder's manifest."""
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rehash(folder: Path, name: str) -> None:
    """Make a bundle's manifest agree again with a graph's file that was changed."""
    path = folder / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    spec = describe_file(folder / name)
    for graph in manifest["graphs"].values():
        for file in graph["files"]:
            if file["name"] == name:
                file.update(size=spec.size, sha256=spec.sha256)
    path.write_text(json.dumps(manifest))


def add_noise(graph: Path, weights: Path, random: np.random.Generator, *, scale: float = 0.2) -> None:
    """Add noise to every convolution of an OpenVINO graph in float32."""
    data = bytearray(weights.read_bytes())
    constants = [
        layer.find("data").attrib
        for layer in ElementTree.parse(graph).iter("layer")
        if layer.get("type") == "Const"
    ]
    for constant in constants:
        if constant["element_type"] == "f32" and constant["shape"].count(",") == 3:
            count = int(constant["size"]) // 4
            values = np.frombuffer(data, np.float32, count, int(constant["offset"]))
            values += (scale * values.std() * random.normal(size=count)).astype(np.float32)
    weights.write_bytes(data)


def rehash_attention(folder: Path) -> None:
    """Make a bundle's manifest agree again with an attention layer that was changed."""
    path = folder / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    spec = describe_file(folder / manifest["attention"]["file"]["name"])
    manifest["attention"]["file"].update(size=spec.size, sha256=spec.sha256)
    path.write_text(json.dumps(manifest))
