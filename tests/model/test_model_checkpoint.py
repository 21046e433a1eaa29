"""Reading checkpoints, good and bad, and putting them into a network."""

import copy
import hashlib
import os
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch

from edgeblend.errors import CheckpointError
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.read import (
    CheckpointMismatchError,
    checkpoint_digest,
    load_weights,
    matching_configs,
    read_checkpoint,
)
from edgeblend.model.config import load_config

CONFIG = "DLA_34_syncbn_4x"
"""The published config with the fewest parameters."""


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.fixture
def save(tmp_path):
    def save(content, name="model.pth", **options):
        path = tmp_path / name
        torch.save(content, path, **options)
        return path

    return save


class Payload:
    """Makes a folder when it is unpickled; stands for anything a stranger's file may do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


WEIGHT = {"top_layer.weight": torch.arange(4.0)}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        WEIGHT,
        OrderedDict(WEIGHT),
        {"model": WEIGHT, "optimizer": {"state": {}}, "scheduler": {"last": 1}, "iteration": 9},
        {"state_dict": WEIGHT, "epoch": 9},
        {"module.top_layer.weight": torch.arange(4.0)},
        {"model": {"module.module.top_layer.weight": torch.arange(4.0)}},
    ],
    ids=["bare", "ordered", "wrapped", "state_dict", "prefixed", "prefixed twice"],
)
def test_reads_what_torch_save_writes(save, content, zipped):
    state = read_checkpoint(save(content, _use_new_zipfile_serialization=zipped))
    assert list(state) == ["top_layer.weight"]
    assert state["top_layer.weight"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_reads_safetensors(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"head.centerness.bias": torch.ones(2, dtype=torch.bfloat16)}, path)
    state = read_checkpoint(path)
    assert state["head.ctrness.bias"].tolist() == [1.0, 1.0]
    assert state["head.ctrness.bias"].dtype == torch.float32


def test_names_become_canonical_and_values_float32(save):
    path = save(
        {
            "module.proposal_generator.fcos_head.centerness.weight": torch.ones(1, dtype=torch.float16),
            "x.running_var": torch.ones(1, dtype=torch.float64),
            "x.num_batches_tracked": torch.tensor(3),
        }
    )
    state = read_checkpoint(path)
    assert sorted(state) == ["proposal_generator.fcos_head.ctrness.weight", "x.running_var"]
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


def test_digest_is_that_of_the_file(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"abc")
    assert checkpoint_digest(path) == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        checkpoint_digest(tmp_path / "gone.pth")


def test_missing_folder_and_empty_are_refused(tmp_path):
    assert "There is no checkpoint" in refusal(tmp_path / "gone.pth")
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "empty.pth").touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / "empty.pth")


@pytest.mark.parametrize(
    "content",
    [b"hello, this is text\n", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", b"<!DOCTYPE html>", b"\x00" * 100],
    ids=["text", "JPEG", "HTML", "zeros"],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    assert "is not a checkpoint" in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.99])
def test_files_that_were_cut_off_are_refused(save, zipped, kept):
    path = save({"w": torch.randn(500)}, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    message = refusal(path)
    assert re.search("is cut off or broken|or is cut off|or broken", message)


def test_broken_safetensors_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"w": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:-8])
    assert "no whole safetensors file" in refusal(path)
    path.write_bytes(b"not safetensors")
    assert "no whole safetensors file" in refusal(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_a_file_that_would_run_code_is_refused_and_nothing_runs(tmp_path, save, kind):
    made = tmp_path / "made"
    content = {"model": {"w": torch.ones(1)}, "extra": Payload(made)}
    if kind == "pickle":
        path = tmp_path / "model.pth"
        path.write_bytes(pickle.dumps({"extra": Payload(made)}, protocol=2))
    else:
        path = save(content, _use_new_zipfile_serialization=kind == "zip")
    message = refusal(path)
    assert not made.exists()
    assert "posix.mkdir" in message or "nt.mkdir" in message
    assert "nothing was run" in message
    assert "If you trust where it comes from, save its weights alone, in Python: " in message
    if kind == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert made.exists()  # the payload works; reading did not run it


def test_even_harmless_objects_are_named_and_refused(save):
    message = refusal(save({"model": WEIGHT, "best": np.float64(3.0)}))
    assert re.search(r"\(numpy\._?core\.multiarray\.scalar\); refused", message)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickles_of_other_protocols_do_not_run_either(tmp_path, protocol):
    made, path = tmp_path / "made", tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"extra": Payload(made)}, protocol=protocol))
    refusal(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 2], "holds a list"),
        ({}, "holds no tensors (its keys: none)"),
        ({"epoch": 3, "note": "x"}, "holds no tensors (its keys: 'epoch', 'note')"),
        ({"model": {}}, "holds no tensors"),
        ({"model": {"w": torch.ones(1), "n": 5}}, "n is a int, not a tensor"),
        ({"w": torch.ones(2, dtype=torch.int64)}, "w is torch.int64, not a plain tensor of floats"),
        ({"w": torch.ones(2, dtype=torch.complex64)}, "w is torch.complex64, not a plain tensor of floats"),
        ({"w": torch.eye(2).to_sparse()}, "w is torch.sparse_coo of torch.float32, not a plain tensor"),
        ({"w": torch.zeros(2, device="meta")}, "w has no values (a meta tensor)"),
        ({"module.w": torch.ones(1), "w": torch.ones(1)}, "w comes twice"),
        ({"a": torch.tensor([1.0, torch.nan]), "b": torch.ones(1)}, "a has NaN or infinite values"),
        ({"a": torch.tensor(1e300, dtype=torch.float64)}, "a has NaN or infinite values"),
    ],
)
def test_what_cannot_be_weights_is_named(save, content, expected):
    assert expected in refusal(save(content))


def test_all_parameters_with_bad_values_are_named(save):
    message = refusal(save({"a": torch.tensor(torch.inf), "b": torch.ones(1), "c": torch.tensor(torch.nan)}))
    assert "a has NaN" in message
    assert "c has NaN" in message
    assert "b has" not in message


def test_of_many_bad_parameters_a_few_are_named_and_all_counted(save):
    content = {f"w{number}": torch.tensor(torch.nan) for number in range(50)}
    message = refusal(save({**content, "ok": torch.ones(1)}))
    assert "w2 has NaN or infinite values; 50 of 51 are like this." in message
    assert "w3 " not in message


@pytest.mark.filterwarnings("ignore")
def test_quantized_tensors_are_named(save):
    quantized = torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)
    assert "w is torch.qint8, not a plain tensor of floats" in refusal(save({"w": quantized}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_floats_of_other_widths_become_float32(save, dtype):
    state = read_checkpoint(save({"w": torch.tensor([1.5, -2.0]).to(dtype)}))
    assert state["w"].dtype == torch.float32
    assert state["w"].tolist() == [1.5, -2.0]


def test_parameters_are_read_as_plain_tensors(save):
    state = read_checkpoint(save({"w": torch.nn.Parameter(torch.ones(2))}))
    assert not state["w"].requires_grad


@pytest.fixture
def network():
    return build_network(load_config(CONFIG))


def snapshot(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.long
def test_a_checkpoint_file_goes_into_the_network(save, golden_state, network):
    state = golden_state(CONFIG)
    half = {f"module.{name}": t.half() if t.is_floating_point() else t for name, t in state.items()}
    path = save({"model": half, "iteration": 1})
    load_weights(network, read_checkpoint(path), source=str(path))
    assert not network.training
    own = network.state_dict()
    for name in ("top_layer.weight", "backbone.bottom_up.level5.tree1.bn2.running_var"):
        assert own[name].dtype == torch.float32
        assert torch.equal(own[name], state[name].half().float())


@pytest.mark.long
def test_what_does_not_fit_is_counted_and_nothing_changes(golden_state, network):
    state = dict(golden_state(CONFIG))
    del state["top_layer.bias"], state["basis_module.tower.5.weight"]
    state["stray.weight"] = torch.ones(1)
    state["proposal_generator.fcos_head.cls_logits.bias"] = torch.ones(3)
    before = snapshot(network)
    with pytest.raises(CheckpointMismatchError) as caught:
        load_weights(network, state, source="my.pth")
    error = caught.value
    assert set(error.missing) == {"top_layer.bias", "basis_module.tower.5.weight"}
    assert error.unexpected == ("stray.weight",)
    assert error.mismatched == (("proposal_generator.fcos_head.cls_logits.bias", (80,), (3,)),)
    message = str(error)
    assert "\n" not in message
    assert f"my.pth does not fit the config {CONFIG}" in message
    assert "2 missing: " in message
    assert "1 unexpected: stray.weight" in message
    assert "proposal_generator.fcos_head.cls_logits.bias is 3 instead of 80" in message
    assert "give the config it was trained with" in message
    after = network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.long
def test_the_config_that_fits_is_named(golden_state, network):
    with pytest.raises(CheckpointMismatchError) as caught:
        load_weights(network, golden_state("RT_R_50_4x_bn-head_syncbn_shtw"), source="my.pth")
    assert "its parameters fit: RT_R_50_4x_bn-head_syncbn_shtw;" in str(caught.value)


@pytest.mark.long
def test_matching_configs(golden_state):
    assert matching_configs(golden_state("R_50_3x")) == ("R_50_1x", "R_50_3x")
    assert matching_configs(golden_state("Panoptic/R_50_3x")) == ("Panoptic/R_50_1x", "Panoptic/R_50_3x")
    assert matching_configs({"w": torch.ones(1)}) == ()


@pytest.mark.long
def test_another_normalisation_is_refused(golden_state, network):
    state = dict(golden_state(CONFIG))
    state["pixel_mean"] = torch.tensor([103.530, 116.280, 123.675]).view(3, 1, 1)
    state["pixel_std"] = torch.ones(3, 1, 1)
    load_weights(network, state, source="my.pth")
    state["pixel_std"] = torch.tensor([57.375, 57.12, 58.395]).view(3, 1, 1)
    before = snapshot(network)
    with pytest.raises(CheckpointError, match=r"pixel_std \(57.375, 57.12, 58.395\).*set MODEL.PIXEL_STD"):
        load_weights(network, state, source="my.pth")
    assert torch.equal(before["top_layer.weight"], network.top_layer.weight)


def test_mismatches_survive_pickling_and_copying():
    error = CheckpointMismatchError(
        "text", missing=("a",), unexpected=("b",), mismatched=(("c", (1,), (2,)),)
    )
    error.frame_index = 3
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is CheckpointMismatchError
        assert str(again) == "text"
        assert (again.missing, again.unexpected, again.frame_index) == (("a",), ("b",), 3)
        assert again.mismatched == (("c", (1,), (2,)),)
    assert type(error)("other text").missing == ()
