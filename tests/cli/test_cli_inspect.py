"""``edgeblend inspect``: bundles, checkpoints, and what is neither."""

import json
import zipfile

import numpy as np
import pytest
import torch
from bundle_factory import edit_manifest, write_tiny_bundle


def test_a_bundle(bundle, place, cli):
    code, stdout, stderr = cli(["inspect", bundle])
    assert (code, stderr) == (0, "")
    for words in ("all files verified", "tiny.pth as tiny.yaml", "160 x 224", "3 (cup, spoon, table)"):
        assert words in stdout
    for words in (
        "p3 (stride 8)",
        "sparse",
        "detections agree",
        "detector: openvino-ir",
        "basis: openvino-ir",
    ):
        assert words in stdout


@pytest.mark.parametrize("name", ["tiny", "tiny.zip"])
def test_a_bundle_as_json(name, place, cli_json):
    write_tiny_bundle(place / name)
    report = cli_json(["inspect", name])
    assert (report["kind"], report["path"]) == ("bundle", name)
    assert report["manifest"]["things"] == ["cat", "dog"]
    assert not list((place / "temp").iterdir())  # the zip's content


def test_a_zipped_bundle_of_another_name(place, cli_json):
    write_tiny_bundle(place / "tiny.zip").rename(place / "tiny.bundle")
    assert cli_json(["inspect", "tiny.bundle"])["kind"] == "bundle"


def test_a_dynamic_bundle(place, cli):
    folder = write_tiny_bundle(place / "tiny")
    spec = json.loads((folder / "manifest.json").read_text())["input"]
    edit_manifest(folder, input={**spec, "height": None, "width": None})
    assert "follows the frame: short side 32, long side at most 64" in cli(["inspect", "tiny"])[1]


def test_a_manifest_with_a_value_out_of_range(place, refused):
    folder = write_tiny_bundle(place / "tiny")
    spec = json.loads((folder / "manifest.json").read_text())["decode"]
    edit_manifest(folder, decode={**spec, "max_detections": 0})
    refused(["inspect", "tiny"], 6, "not a valid manifest", "max_detections")


def test_an_attention_layer_for_another_model(place, refused):
    folder = write_tiny_bundle(place / "tiny")
    spec = json.loads((folder / "manifest.json").read_text())["blend"]
    edit_manifest(folder, blend={**spec, "num_bases": 3})
    refused(["inspect", "tiny"], 6, "expected 588 outputs (K * M * M), got 784")


def test_a_checkpoint(model, place, cli):
    code, stdout, stderr = cli(["inspect", model.checkpoint])
    assert (code, stderr) == (0, "")
    assert "no published config" in stdout
    assert "15.6 million values" in stdout


def test_how_a_checkpoint_was_read_is_said(model, place, cli):
    import torch

    state = {f"module.{name}": torch.from_numpy(value) for name, value in model.state.items()}
    torch.save({"model": state}, place / "wrapped.pth")
    code, stdout, stderr = cli(["inspect", "wrapped.pth"])
    assert (code, stderr) == (0, "edgeblend: note: names are read without 'module'\n")
    assert "15.6 million values" in stdout
    stdout = cli(["inspect", "wrapped.pth", "--json"])[1]
    assert json.loads(stdout)["notes"] == ["names are read without 'module'"]


def test_a_name_that_no_system_takes(refused):
    refused(["inspect", "A" * 300], 3, "no such file or folder")


def test_a_checkpoint_as_json(model, cli_json):
    report = cli_json(["inspect", model.checkpoint])
    assert (report["kind"], report["configs"]) == ("checkpoint", [])
    assert report["tensors"]["top_layer.weight"] == [784, 32, 3, 3]
    assert report["parameters"] == sum(
        value.size for name, value in model.state.items() if "num_batches" not in name
    )


def test_nothing_there(refused):
    refused(["inspect", "nowhere"], 3, "nowhere: no such file or folder")


def test_a_folder_that_is_no_bundle(place, refused):
    (place / "folder").mkdir()
    refused(["inspect", "folder"], 6, "folder: not a bundle", "manifest.json")


@pytest.mark.parametrize("name", ["tiny", "tiny.zip"])
def test_an_altered_bundle(name, place, refused):
    write_tiny_bundle(place / name)
    if name == "tiny":
        (place / name / "basis.xml").write_bytes(b"c0ntent of basis.xml")
    else:
        data = (place / name).read_bytes()
        (place / name).write_bytes(data.replace(b"content of basis.xml", b"c0ntent of basis.xml"))
    refused(["inspect", name], 6, name)


@pytest.mark.parametrize("name", ["notes.txt", "notes", "notes.pth"])
def test_a_text_file(name, place, refused):
    (place / name).write_text("two eggs, flour")
    refused(["inspect", name], 5, f"{name} is not a checkpoint")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut off", b"PK\x05\x06" + bytes(18)])
def test_a_zip_that_is_none(data, place, refused):
    (place / "bad.zip").write_bytes(data)
    refused(["inspect", "bad.zip"], 6, "bad.zip: ")


@pytest.mark.parametrize("name", ["other.zip", "other"])
def test_a_zip_that_is_no_bundle(name, place, refused):
    with zipfile.ZipFile(place / name, "w") as archive:
        archive.writestr("readme.txt", "no bundle")
    refused(["inspect", name], 6 if name == "other.zip" else 5, name)


def test_a_zip_with_a_broken_directory(place, refused):
    """It ends like a zip file, and its list of files is garbage."""
    write_tiny_bundle(place / "tiny.zip")
    data = (place / "tiny.zip").read_bytes()
    (place / "tiny").write_bytes(data.replace(b"PK\x01\x02", b"PK\x01\x03"))
    refused(["inspect", "tiny"], 5, "tiny is cut off or broken")
    (place / "tiny").rename(place / "tiny.zip")
    refused(["inspect", "tiny.zip"], 6, "tiny.zip: broken")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_cut_off_checkpoint(share, place, model, refused):
    data = model.checkpoint.read_bytes()
    (place / "bad.pth").write_bytes(data[: int(len(data) * share)])
    refused(["inspect", "bad.pth"], 5, "bad.pth is cut off or broken")


def test_a_checkpoint_with_a_value_that_is_not_finite(place, refused):
    torch.save({"a.weight": torch.tensor([1.0, np.inf])}, place / "bad.pth")
    refused(["inspect", "bad.pth"], 5, "a.weight has NaN or infinite values")


def test_a_checkpoint_without_torch(model, process, one_line):
    done = process(["inspect", model.checkpoint], blocked=("torch",))
    assert (done.returncode, done.stdout) == (13, "")
    assert one_line(done.stderr)
    assert "torch" in done.stderr
    assert "edgeblend[convert]" in done.stderr


def test_a_bundle_without_torch_and_engine(place, process):
    write_tiny_bundle(place / "tiny")
    done = process(["inspect", "tiny"], blocked=("torch", "yaml", "openvino"))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_lint_says_that_an_npu_would_take_it(small_bundle, cli):
    code, stdout, stderr = cli(("inspect", small_bundle.path, "--lint", "npu"))
    assert (code, stderr) == (0, "")
    assert "nothing that an Intel NPU is known to refuse" in stdout
    assert "no NPU was asked" in stdout


def test_a_lint_of_open_shapes_has_an_exit_code(cli, tmp_path):
    from small_bundle import write_small_bundle

    bundle = write_small_bundle(tmp_path / "dynamic", dynamic=True)
    code, stdout, _ = cli(("inspect", bundle.path, "--lint", "npu"))
    assert code == 12
    assert "refused: detector Parameter image" in stdout
    code, stdout, _ = cli(("inspect", bundle.path, "--lint", "npu", "--json"))
    report = json.loads(stdout)
    assert (code, report["refused"]) == (12, True)


def test_a_checkpoint_has_no_graphs_to_lint(model, refused):
    refused(("inspect", str(model.checkpoint), "--lint", "npu"), 3, "--lint looks through bundles")
