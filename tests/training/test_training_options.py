"""Options, devices and precisions: what is refused, and with which words."""

import math
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeblend.errors import InputError
from edgeblend.training.devices import choose_device, choose_precision
from edgeblend.training.options import Augmentation, TrainingOptions, check_training_options

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_defaults_can_be_trained_with():
    check_training_options(TrainingOptions())
    check_training_options(TrainingOptions(optimizer="sgd", epochs=np.int64(3)))


def test_rates_scale_with_the_batch():
    assert TrainingOptions().rate == 1e-3
    assert TrainingOptions(batch_size=4).rate == 2.5e-4
    assert TrainingOptions(optimizer="sgd", batch_size=32).rate == 0.02
    assert TrainingOptions(learning_rate=0.5, batch_size=8).rate == 0.25
    assert TrainingOptions(learning_rate=0.5, batch_size=8).base_rate == 0.5


def test_weight_decay_follows_the_optimizer():
    assert (TrainingOptions().decay, TrainingOptions(optimizer="sgd").decay) == (0.02, 1e-4)
    assert TrainingOptions(weight_decay=0.0).decay == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"epochs": 1.5}, "epochs is 1.5; expected a whole number"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected at least 1e-09 and at most 100"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"learning_rate": 101.0, "batch_size": 1}, "learning_rate is 101.0"),
        ({"weight_decay": 2.0}, "weight_decay is 2.0; expected at least 0 and at most 1"),
        ({"backbone_factor": -0.1}, "backbone_factor is -0.1"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0"),
        ({"average_decay": 1.0}, "average_decay is 1.0"),
        ({"workers": -1}, "workers is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"evaluate_every": 0}, "evaluate_every is 0"),
        ({"optimizer": "adam"}, "optimizer: unknown value 'adam'; choose one of adamw, sgd"),
        (
            {"precision": "int8"},
            "precision: unknown value 'int8'; choose one of auto, float32, bfloat16, float16",
        ),
        ({"augmentation": Augmentation(scales=(1.2, 0.8))}, "scales are 1.2 to 0.8"),
        ({"augmentation": Augmentation(scales=(0.0, 1.0))}, "scales are 0.0 to 1.0"),
        ({"augmentation": Augmentation(scales=(math.nan, 1.0))}, "scales are nan"),
        ({"augmentation": Augmentation(brightness=1.5)}, "brightness is 1.5"),
        ({"augmentation": Augmentation(contrast=-0.1)}, "contrast is -0.1"),
        ({"augmentation": Augmentation(saturation=math.inf)}, "saturation is inf"),
    ],
)
def test_options_beyond_the_limits(options, words):
    with pytest.raises(InputError) as caught:
        check_training_options(TrainingOptions(**options))
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(("there", "chosen"), [(False, "cpu"), (True, "cuda")])
def test_auto_takes_cuda_where_it_is(monkeypatch, there, chosen):
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    monkeypatch.setattr("torch.cuda.device_count", lambda: int(there))
    assert choose_device("auto").type == chosen
    assert choose_device("cpu") == CPU


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(InputError, match="'cuda' is not there; torch .* sees 0 CUDA devices"):
        choose_device("cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert choose_device("cuda:0").type == "cuda"
    with pytest.raises(InputError, match="'cuda:1' is not there; torch .* sees 1"):
        choose_device("cuda:1")


@pytest.mark.parametrize("name", ["abacus", "", "cuda:x"])
def test_devices_that_torch_does_not_know(name):
    with pytest.raises(InputError, match="not one of torch's"):
        choose_device(name)


@pytest.mark.parametrize("name", ["mps", "meta", "xpu"])
def test_devices_that_training_does_not_run_on(name):
    with pytest.raises(InputError, match="training runs on cpu and cuda"):
        choose_device(name)


@pytest.mark.parametrize(("capable", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_cpu_takes_bfloat16_where_it_has_it(monkeypatch, capable, dtype):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, "avx512_bf16": capable})
    assert choose_precision("auto", CPU) == dtype


@pytest.mark.parametrize(("capable", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_takes_bfloat16_where_it_has_it(monkeypatch, capable, dtype):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: capable)
    assert choose_precision("auto", CUDA) == dtype


def test_a_precision_that_is_asked_for_is_taken():
    assert choose_precision("float32", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16
    assert choose_precision("float16", CUDA) == torch.float16


def test_float16_on_a_cpu_is_refused():
    with pytest.raises(InputError, match="float16 trains on CUDA only"):
        choose_precision("float16", CPU)


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="sockets have no paths here")
def test_a_temporary_folder_with_a_long_name(monkeypatch, tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(InputError, match="longlong.*TMPDIR.*0 workers"):
        check_training_options(TrainingOptions(workers=1))
    check_training_options(TrainingOptions(workers=0))


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="sockets have no paths here")
def test_the_longest_name_that_is_allowed_leaves_room_for_a_socket(monkeypatch):
    base = tempfile.mkdtemp(dir="/tmp")
    limit = {"linux": 107, "darwin": 103}.get(sys.platform, 200) - 32
    folder = base + "/" + "x" * (limit - len(base) - 1)
    Path(folder).mkdir()
    try:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        check_training_options(TrainingOptions(workers=1))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(folder + "/l" + "x" * 30)  # as long as Python's own
    finally:
        shutil.rmtree(base)
