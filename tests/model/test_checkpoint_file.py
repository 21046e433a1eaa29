"""Files of other kinds that are given as checkpoints: each is named, and the advice works."""

import copy
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoint_files import follow, values, weights

from edgeblend.errors import CheckpointError
from edgeblend.model.checkpoints import file as checkpoint_file
from edgeblend.model.checkpoints.read import checkpoint_digest, read_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:`torch.jit")


class Holder(torch.nn.Module):
    """A module whose parameters have a BlendMask's names."""

    def __init__(self):
        super().__init__()
        for name, tensor in weights().items():
            module, *parts = name.split(".")
            inner = self
            for part in (module, *parts[:-1]):
                if not hasattr(inner, part):
                    inner.add_module(part, torch.nn.Module())
                inner = getattr(inner, part)
            inner.register_parameter(parts[-1], torch.nn.Parameter(tensor))

    def forward(self, x):
        return x


def arrays() -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in weights().items()}


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 800
    return message


def write_numpy(path):
    torch.save({"model": arrays(), "epoch": 3}, path)


def write_bare_numpy(path):
    torch.save(arrays(), path)


def write_zoo(path):
    path.write_bytes(pickle.dumps({"model": arrays(), "__author__": "x", "matching_heuristics": True}))


def write_old_zoo(path):
    path.write_bytes(pickle.dumps({"model": arrays()}, protocol=2))


def write_protocol_4(path):
    torch.save({"model": weights()}, path, pickle_protocol=4)


def write_legacy_protocol_4(path):
    torch.save({"model": weights()}, path, pickle_protocol=4, _use_new_zipfile_serialization=False)


def write_protocol_1(path):
    torch.save({"model": weights()}, path, pickle_protocol=1)


def write_protocol_0(path):
    torch.save({"model": weights()}, path, pickle_protocol=0)


def write_legacy_protocol_1(path):
    torch.save({"model": weights()}, path, pickle_protocol=1, _use_new_zipfile_serialization=False)


def write_zoo_protocol_0(path):
    path.write_bytes(pickle.dumps({"model": arrays()}, protocol=0))


def write_zoo_protocol_1(path):
    path.write_bytes(pickle.dumps({"model": arrays()}, protocol=1))


def write_extra_objects(path):
    torch.save({"state_dict": weights(), "hyper_parameters": Path("x"), "best": np.float64(1)}, path)


def write_legacy_extra_objects(path):
    content = {"model": weights(), "best": np.float64(1)}
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_torchscript(path):
    torch.jit.script(Holder()).save(str(path))


def write_npz(path):
    with path.open("wb") as file:
        np.savez(file, **arrays())


def write_compressed(path):
    torch.save({"model": weights()}, path)
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)


def write_index(path):
    parts = [dict([item]) for item in weights().items()]
    names = [f"model-{number}.safetensors" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        safetensors.torch.save_file(part, path.parent / name)
    located = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    path.write_text(json.dumps({"metadata": {"total_size": 16}, "weight_map": located}))


def write_torch_index(path):
    torch.save(weights(), path.parent / "part.bin")
    path.write_text(json.dumps({"weight_map": dict.fromkeys(weights(), "part.bin")}))


def write_two_sections(path):
    torch.save({"student": weights(), "other": weights(scale=2.0)}, path)


def test_what_torch_cannot_read_back_is_said_to_be_so(tmp_path):
    write_protocol_0(tmp_path / "given.pth")
    with pytest.raises(AssertionError):
        torch.load(tmp_path / "given.pth", weights_only=False)
    assert "is a pickle of protocol 0, which torch itself cannot read" in refusal(tmp_path / "given.pth")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (write_numpy, "wants to run code to be opened (numpy._core.multiarray._reconstruct)"),
        (write_bare_numpy, "wants to run code to be opened (numpy._core.multiarray._reconstruct)"),
        (write_zoo, "is a pickle of protocol 4"),
        (write_old_zoo, "wants to run code to be opened (numpy._core.multiarray._reconstruct)"),
        (write_protocol_4, "is a pickle of protocol 4"),
        (write_legacy_protocol_4, "is a pickle of protocol 4"),
        (write_protocol_1, "is a pickle of protocol 1"),
        (write_legacy_protocol_1, "is a pickle of protocol 1"),
        (write_zoo_protocol_0, "is a pickle of protocol 0"),
        (write_zoo_protocol_1, "is a pickle of protocol 1"),
        (write_extra_objects, "wants to run code to be opened (pathlib."),
        (write_legacy_extra_objects, "wants to run code to be opened (numpy._core.multiarray.scalar)"),
        (write_torchscript, "is a TorchScript archive, which is a program"),
        (write_npz, "holds NumPy arrays"),
        (write_compressed, "was zipped again, with compression"),
        (write_index, "the index of several files"),
        (write_torch_index, "the index of several files"),
        (write_two_sections, "holds weights under 'student', 'other'; keep one"),
    ],
)
def test_following_the_advice_makes_a_checkpoint_of_it(tmp_path, write, expected):
    path = tmp_path / "given.pth"
    write(path)
    message = refusal(path)
    assert expected in message
    assert values(follow(message, tmp_path)) == values(weights())


def test_a_whole_pickled_module(tmp_path):
    path = tmp_path / "given.pth"
    torch.save(Holder(), path)
    message = refusal(path)
    assert "wants to run code to be opened (" in message
    assert "Holder" in message
    assert values(follow(message, tmp_path)) == values(weights())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer; run"),
        (b"<!DOCTYPE html><html>", "a web page, because a download went wrong"),
        (b"\x08\x0a\x12\x07pytorch\x1a\x062.13.0", "an ONNX graph; give the checkpoint"),
        (b"\x1c\0\0\0TFL3\x14\0", "a TFLite graph; give the checkpoint"),
        (b'<?xml version="1.0"?><net name="x">', "an OpenVINO graph"),
        (b"\x89HDF\r\n\x1a\n", "a file of Keras"),
        (b"\x1f\x8b\x08\0", "a gzip file; unpack it"),
        (b"BZh91AY&SY", "a bzip2 file; unpack it"),
        (b"x" * 257 + b"ustar\0", "a tar file; unpack it"),
        (b"\x93NUMPY\x01\0", "a single NumPy array"),
        (b'{"a": 1}', "is not a checkpoint; expected a file of torch.save"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_other_files_are_called_by_their_kind(tmp_path, content, expected, name):
    if name.endswith(".safetensors") and "expected a file" in expected:
        expected = "is no whole safetensors file"
    path = tmp_path / name
    path.write_bytes(content)
    assert expected in refusal(path)


def test_a_zip_file_of_other_things_is_named(tmp_path):
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", "{}")
        archive.writestr("line\nbreak", "")
    assert r"is not a checkpoint but a zip file (it holds manifest.json, line\nbreak)" in refusal(path)


@pytest.mark.parametrize("name", ["model.pth", "model.bin"])
def test_safetensors_are_known_by_what_they_hold(tmp_path, name):
    safetensors.torch.save_file(weights(), tmp_path / name)
    assert values(read_checkpoint(tmp_path / name)) == values(weights())


def test_torch_files_are_known_by_what_they_hold(tmp_path):
    torch.save(weights(), tmp_path / "model.safetensors")
    assert values(read_checkpoint(tmp_path / "model.safetensors")) == values(weights())


def test_sizes_that_a_file_only_claims_take_no_memory(tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**34], "data_offsets": [0, 2**36]}}).encode()
    path = tmp_path / "huge.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert "no whole safetensors file" in refusal(path)
    path.write_bytes(struct.pack("<Q", 2**31) + b"{")
    assert "no whole safetensors file" in refusal(path)
    path = tmp_path / "bomb.pth"
    torch.save({"w": torch.ones(1).expand(2**40)}, path)
    assert "w claims 1099511627776 values and repeats the few that it has" in refusal(path)


def test_a_few_repeated_values_are_read(tmp_path):
    torch.save({"w": torch.ones(1).expand(3), "v": torch.arange(6.0).view(2, 3).T}, tmp_path / "m.pth")
    state = read_checkpoint(tmp_path / "m.pth")
    assert values(state) == {"w": [1.0, 1.0, 1.0], "v": [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]}


@pytest.mark.parametrize("path", ["A" * 300, "a\0b", "A/" * 3000])
def test_paths_that_no_system_takes(path):
    assert "There is no checkpoint A" in refusal(path) or path == "a\0b"
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        checkpoint_digest(path)


def test_a_pipe_is_no_checkpoint(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(tmp_path / "pipe")


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    torch.save(weights(), path)

    def fail(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", fail)
    assert f"Cannot read the checkpoint {path}: Permission denied" in refusal(path)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_what_was_read_can_be_copied_with_its_notes(tmp_path, copied):
    torch.save(weights("module."), tmp_path / "m.pth")
    state = read_checkpoint(tmp_path / "m.pth")
    assert state.notes
    assert copied(state).notes == state.notes
    assert values(copied(state)) == values(weights())


def test_the_number_of_kinds_is_that_of_their_signatures():
    signatures = [(place, magic) for place, magic, _ in checkpoint_file._OTHER_FILES]
    assert len(set(signatures)) == len(signatures)
    assert all(magic == magic.lower() for _, magic in signatures)
