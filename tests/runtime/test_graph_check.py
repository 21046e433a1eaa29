"""Graphs that are not what the manifest says are refused before the first frame."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from bundle_factory import rehash_attention, write_tiny_bundle
from fake_engine import FakeEngine, changed, described

from edgeblend.bundle import Bundle
from edgeblend.errors import BundleError
from edgeblend.runtime.graph_check import check_graphs


def attention(channels: int = 8, values: int = 784) -> dict[str, np.ndarray]:
    return {"weight": np.zeros((9 * channels, values), np.float32), "bias": np.zeros(values, np.float32)}


@pytest.fixture
def bundle(tmp_path) -> Bundle:
    """Its canvas is 32 x 64, p3 has stride 8 and the bases 4; 2 classes, 4 bases, attention of 14 x 14."""
    folder = write_tiny_bundle(tmp_path / "tiny")
    safetensors.numpy.save_file(attention(), folder / "attention.safetensors")
    rehash_attention(folder)
    return Bundle.load(folder)


def checked(bundle: Bundle, graphs) -> None:
    engine = FakeEngine(graphs)
    opened = {part: engine.opened(*graphs[f"{part}.xml"]) for part in ("detector", "basis")}
    check_graphs(bundle, opened)


SIZED = {
    ("detector.xml", 0, "image"): (1, 32, 64, 3),
    ("detector.xml", 1, "cls_logits_p3"): (1, 2, 4, 8),
    ("detector.xml", 1, "box_reg_p3"): (1, 4, 4, 8),
    ("detector.xml", 1, "centerness_p3"): (1, 1, 4, 8),
    ("detector.xml", 1, "attention_features_p3"): (1, 8, 4, 8),
    ("detector.xml", 1, "p3"): (1, 8, 4, 8),
    ("basis.xml", 0, "p3"): (1, 8, 4, 8),
    ("basis.xml", 1, "bases"): (1, 4, 8, 16),
}


def sized(bundle: Bundle):
    graphs = described(bundle.manifest)
    for (file, end, name), shape in SIZED.items():
        graphs = changed(graphs, file, end, name, shape=shape)
    return graphs


def test_graphs_as_described_pass(bundle) -> None:
    checked(bundle, sized(bundle))


def test_open_sides_fit_everything(bundle) -> None:
    checked(bundle, described(bundle.manifest))


@pytest.mark.parametrize(
    ("file", "end", "name", "changes", "words"),
    [
        ("detector.xml", 0, "image", {"dtype": "float32"}, "input 'image' is float32, not uint8"),
        ("basis.xml", 1, "bases", {"dtype": "int8"}, "output 'bases' is int8, not float32"),
        ("basis.xml", 1, "bases", {"shape": (4, 8, 16)}, "shape 4 x 8 x 16, not one picture"),
        ("basis.xml", 1, "bases", {"shape": (2, 4, 8, 16)}, "shape 2 x 4 x 8 x 16, not one picture"),
        ("basis.xml", 1, "bases", {"shape": ()}, "shape a scalar"),
        ("detector.xml", 0, "image", {"shape": (1, 3, 32, 64)}, "has 64 channels in NHWC, not 3"),
        ("detector.xml", 0, "image", {"shape": (1, 64, 32, 3)}, "'image' is 64 x 32 large"),
        ("detector.xml", 1, "cls_logits_p3", {"shape": (1, 80, 4, 8)}, "has 80 channels in NCHW, not 2"),
        ("detector.xml", 1, "box_reg_p3", {"shape": (1, 4, 8, 8)}, "is 8 x 8 large"),
        ("detector.xml", 1, "centerness_p3", {"shape": (1, 4, 8, 1)}, "has 4 channels in NCHW, not 1"),
        (
            "detector.xml",
            1,
            "attention_features_p3",
            {"shape": (1, 9, 4, 8)},
            "takes 8 channels, but .* has 9",
        ),
        ("detector.xml", 1, "p3", {"shape": (1, 9, 4, 8)}, "input 'p3' is 8 x 4 x 8, but"),
        ("basis.xml", 1, "bases", {"shape": (1, 5, 8, 16)}, "has 5 channels in NCHW, not 4"),
        ("basis.xml", 1, "bases", {"shape": (1, 4, 4, 8)}, "'bases' is 4 x 8 large"),
    ],
)
def test_a_tensor_of_another_kind(file, end, name, changes, words, bundle) -> None:
    with pytest.raises(BundleError, match=f"tiny: the graphs are not what the manifest says: .*{words}"):
        checked(bundle, changed(sized(bundle), file, end, name, **changes))


@pytest.mark.parametrize(
    ("file", "end", "name", "words"),
    [
        ("detector.xml", 0, "image", "the detector graph's input 'image' is not there, but 'other'"),
        ("detector.xml", 1, "box_reg_p3", "output 'box_reg_p3' is not there, but 'cls_logits_p3', .*'other'"),
        ("basis.xml", 0, "p3", "the basis graph's input 'p3' is not there"),
        ("basis.xml", 1, "bases", "the basis graph's output 'bases' is not there"),
    ],
)
def test_a_tensor_of_another_name(file, end, name, words, bundle) -> None:
    ends = [dict(tensors) for tensors in sized(bundle)[file]]
    ends[end]["other"] = ends[end].pop(name)
    with pytest.raises(BundleError, match=words):
        checked(bundle, {**sized(bundle), file: (ends[0], ends[1])})


def test_an_input_that_the_manifest_does_not_know(bundle) -> None:
    inputs, outputs = sized(bundle)["basis.xml"]
    more = {**inputs, "p9": inputs["p3"]}
    with pytest.raises(BundleError, match="the basis graph takes 'p9', too"):
        checked(bundle, {**sized(bundle), "basis.xml": (more, outputs)})


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("input",), {"height": 64}, "'image' is 32 x 64 large"),
        (("input",), {"height": None, "width": None}, "but the manifest's canvas follows the frame"),
        (("decode",), {"num_classes": 3}, "'cls_logits_p3' has 2 channels in NCHW, not 3"),
        (("blend",), {"num_bases": 3}, "'bases' has 4 channels in NCHW, not 3"),
        (("blend",), {"basis_stride": 8}, "'bases' is 8 x 16 large"),
        (("blend",), {"attention_size": 7}, r"attention.safetensors gives 784 values, not 4 x 7\^2"),
    ],
)
def test_a_manifest_of_another_model(path, value, words, bundle) -> None:
    manifest = bundle.manifest
    (name,) = path
    other = msgspec.structs.replace(
        manifest, **{name: msgspec.structs.replace(getattr(manifest, name), **value)}
    )
    with pytest.raises(BundleError, match=words):
        checked(Bundle(bundle.path, other, bundle.folder), sized(bundle))


def test_another_stride_of_a_level(bundle) -> None:
    decode = bundle.manifest.decode
    level = msgspec.structs.replace(decode.levels[0], stride=16)
    other = msgspec.structs.replace(bundle.manifest, decode=msgspec.structs.replace(decode, levels=(level,)))
    with pytest.raises(BundleError, match="'cls_logits_p3' is 4 x 8 large"):
        checked(Bundle(bundle.path, other, bundle.folder), sized(bundle))


def test_many_problems_are_counted(bundle) -> None:
    (inputs, _), basis = sized(bundle)["detector.xml"], sized(bundle)["basis.xml"]
    with pytest.raises(BundleError, match="cls_logits_p3.*; .*; .* and 2 more; convert"):
        checked(bundle, {"detector.xml": (inputs, {}), "basis.xml": basis})
