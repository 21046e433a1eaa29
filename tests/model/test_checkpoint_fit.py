"""What is said of a checkpoint that is not the config's, and that it is short."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import TINY_YAML

from edgeblend.model.blendmask import build_network, expected_shapes
from edgeblend.model.checkpoints.read import CheckpointMismatchError, load_weights, read_checkpoint
from edgeblend.model.config import load_config

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def config_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY_YAML)
    return path


@pytest.fixture(scope="module")
def network(config_file):
    return build_network(load_config(config_file))


@pytest.fixture
def state(network) -> State:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def shaped(config: str, **changes: int) -> State:
    """Tensors of a named config without memory, the class layers with another number of rows."""
    shapes = expected_shapes(load_config(config))
    one = torch.zeros(1)
    if rows := changes.get("classes"):
        for name in shapes:
            if ".cls_logits." in name:
                shapes[name] = (rows, *shapes[name][1:])
    return {name: one.expand(shape) for name, shape in shapes.items()}


def mismatch(network, state: State) -> CheckpointMismatchError:
    with pytest.raises(CheckpointMismatchError) as caught:
        load_weights(network, state, source="my.pth")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 600
    return caught.value


def test_another_number_of_classes_names_the_key(network, state):
    for name in state:
        if ".cls_logits." in name:
            state[name] = torch.zeros(5, *state[name].shape[1:])
    message = str(mismatch(network, state))
    assert "the checkpoint has 5 classes and the config says 3: set MODEL.FCOS.NUM_CLASSES to 5" in message
    assert message.count("NUM_CLASSES") == 1


def test_setting_the_classes_as_advised_works(tmp_path, network, state, config_file):
    for name in state:
        if ".cls_logits." in name:
            state[name] = torch.zeros(5, *state[name].shape[1:])
    mismatch(network, state)
    advised = tmp_path / "advised.yaml"
    advised.write_text(f"_BASE_: {config_file}\nMODEL: {{FCOS: {{NUM_CLASSES: 5}}}}\n")
    load_weights(build_network(load_config(advised)), state, source="my.pth")


def test_the_named_config_of_another_number_of_classes(network):
    error = mismatch(network, shaped("RT_R_50_4x_bn-head_syncbn_shtw", classes=7))
    assert "apart from the number of classes its parameters fit: RT_R_50_4x_bn-head_syncbn_shtw;" in str(
        error
    )


def test_the_named_config_that_fits(network):
    assert "its parameters fit: R_50_1x, R_50_3x;" in str(mismatch(network, shaped("R_50_3x")))


def test_another_kind_of_mismatch_is_not_called_one_of_classes(network, state):
    name = "proposal_generator.fcos_head.cls_logits.weight"
    state[name] = torch.zeros(5, 7, 3, 3)
    message = str(mismatch(network, state))
    assert "NUM_CLASSES" not in message
    assert f"{name} is 5x7x3x3 instead of 3x32x3x3" in message


def test_hundreds_of_names_take_one_short_line(network, state):
    renamed = {f"encoder.{name}": tensor for name, tensor in state.items()}
    renamed["stray"] = torch.ones(1)
    error = mismatch(network, renamed)
    assert len(error.unexpected) > 100
    assert len(str(error)) < 400
    assert " missing: " in str(error)
    assert " more" in str(error)


def test_a_checkpoint_of_something_else_is_called_so(network):
    resnet = {"conv1.weight": torch.ones(1), "layer1.0.conv1.weight": torch.ones(1)}
    assert "none of its names is a BlendMask's: give a BlendMask's checkpoint" in str(
        mismatch(network, resnet)
    )
    prefixed = {"net.enc.a.weight": torch.ones(1), "net.enc.b.weight": torch.ones(1)}
    assert "its names begin with 'net.enc.': give" in str(mismatch(network, prefixed))


def test_an_empty_state_does_not_fit(network):
    assert "does not fit" in str(mismatch(network, {}))


def test_a_long_normalisation_is_not_printed_in_full(network, state):
    state["pixel_mean"] = torch.zeros(100_000)
    with pytest.raises(Exception, match=r"trained with pixel_mean \(0.0, 0.0, 0.0, 0.0\)"):
        load_weights(network, state, source="my.pth")


@pytest.mark.parametrize("prefix", ["module._orig_mod.", "model.", "modelTeacher."])
def test_a_prefixed_file_goes_into_the_network(tmp_path, network, state, prefix):
    path = tmp_path / "prefixed.pth"
    changed = {f"{prefix}{name}": tensor + 1 for name, tensor in state.items()}
    torch.save({"model": changed}, path)
    fresh = build_network(network.config)
    load_weights(fresh, read_checkpoint(path), source="prefixed.pth")
    own = fresh.state_dict()["top_layer.weight"].numpy()
    assert np.array_equal(own, state["top_layer.weight"].numpy() + 1)


def test_shapes_of_networks_are_found_without_torch_s_compiler():
    # Its import takes seconds, and leaves a folder among the temporary files.
    code = (
        "import sys; from edgeblend.model.checkpoints.fit import matching_configs;"
        "matching_configs({}); assert 'torch' in sys.modules; print('torch._inductor' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]
