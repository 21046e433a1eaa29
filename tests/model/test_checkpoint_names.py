"""Which part of a file is read, and under which names."""

import pytest
import safetensors.torch
import torch
from checkpoint_files import NAMES, follow, values, weights

from edgeblend.errors import CheckpointError
from edgeblend.model.blendmask import expected_shapes
from edgeblend.model.checkpoints.names import ROOTS, listed
from edgeblend.model.checkpoints.read import read_checkpoint
from edgeblend.model.config import NAMED, load_config


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture
def save(tmp_path):
    def save(content, name="given.pth"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("config", NAMED)
def test_the_roots_are_those_of_the_networks(config):
    assert {name.partition(".")[0] for name in expected_shapes(load_config(config))} <= ROOTS


@pytest.mark.parametrize(
    ("prefix", "note"),
    [
        ("module.", "names are read without 'module'"),
        ("module.module.", "names are read without 'module'"),
        ("_orig_mod.", "names are read without '_orig_mod'"),
        ("module._orig_mod.", "names are read without 'module', '_orig_mod'"),
        ("_fsdp_wrapped_module.", "names are read without '_fsdp_wrapped_module'"),
        ("model.", "names are read without their common prefix 'model.'"),
        ("ema.", "names are read without their common prefix 'ema.'"),
        ("teacher.", "names are read without their common prefix 'teacher.'"),
        ("student.", "names are read without their common prefix 'student.'"),
        ("modelTeacher.", "names are read without their common prefix 'modelTeacher.'"),
        ("net.inner.", "names are read without their common prefix 'net.inner.'"),
    ],
)
@pytest.mark.parametrize("section", ["model", "state_dict", None])
def test_a_prefix_of_all_names_is_taken_off_and_noted(save, prefix, note, section):
    state = weights(prefix)
    checkpoint = read_checkpoint(save(state if section is None else {section: state, "epoch": 1}))
    assert values(checkpoint) == values(weights())
    assert checkpoint.notes == (note,)


def test_wrappers_and_a_prefix(save):
    checkpoint = read_checkpoint(save({"state_dict": weights("model.module._orig_mod.")}))
    assert values(checkpoint) == values(weights())
    assert checkpoint.notes == (
        "names are read without 'module', '_orig_mod'",
        "names are read without their common prefix 'model.'",
    )


def test_wrappers_within_a_name(save):
    path = save({"backbone._orig_mod.a.weight": torch.ones(1), "top_layer.weight": torch.ones(1)})
    assert set(read_checkpoint(path)) == {"backbone.a.weight", "top_layer.weight"}


def test_plain_names_need_no_note(save, tmp_path):
    checkpoint = read_checkpoint(save({"model": weights(), "optimizer": {"state": {}}, "iteration": 1}))
    assert checkpoint.notes == ()
    safetensors.torch.save_file(weights(), tmp_path / "m.safetensors")
    assert read_checkpoint(tmp_path / "m.safetensors").notes == ()


def test_counters_of_averaged_models_are_left_out(save):
    state = {**weights("module."), "n_averaged": torch.tensor(7)}
    assert values(read_checkpoint(save(state))) == values(weights())


def test_a_prefix_of_some_names_is_left(save):
    state = {"model.backbone.a": torch.ones(1), "stray": torch.ones(1)}
    assert set(read_checkpoint(save(state))) == set(state)


def test_prefixes_without_a_root_are_left(save):
    state = {"model.encoder.a": torch.ones(1), "model.encoder.b": torch.ones(1)}
    assert set(read_checkpoint(save(state))) == set(state)


@pytest.mark.parametrize("section", ["model", "state_dict", None])
@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ("modelStudent.", "modelTeacher.", "modelTeacher."),
        ("module.student.", "module.teacher.", "module.teacher."),
        ("", "ema.", "ema."),
        ("model.", "net.", "model."),
    ],
)
def test_of_two_networks_one_must_be_chosen(save, tmp_path, section, first, second, chosen):
    state = {**weights(first), **weights(second, scale=2.0)}
    message = refusal(save(state if section is None else {section: state}))
    assert "holds networks under " in message
    assert f"p = '{chosen}'" in message
    assert len(message.replace(str(tmp_path), "")) < 400
    expected = weights(scale=2.0 if chosen == second else 1.0)
    assert values(follow(message, tmp_path)) == values(expected)


def test_of_two_networks_in_safetensors(tmp_path):
    path = tmp_path / "given.safetensors"
    safetensors.torch.save_file({**weights("student."), **weights("teacher.", scale=2.0)}, path)
    message = refusal(path)
    assert "holds networks under 'student.' and 'teacher.';" in message
    assert values(follow(message, tmp_path)) == values(weights(scale=2.0))


def test_a_network_beside_other_tensors(save, tmp_path):
    message = refusal(save({"state_dict": {**weights("model."), "criterion.weight": torch.ones(3)}}))
    assert "holds a network under 'model.' beside 1 other tensors" in message
    assert values(follow(message, tmp_path)) == values(weights())


@pytest.mark.parametrize("key", ["ema", "model_ema", "ema_state", "averaged_model", "swa_model"])
def test_averaged_weights_beside_the_model_are_noted(save, tmp_path, key):
    path = save({"model": weights(), key: weights(scale=2.0)})
    checkpoint = read_checkpoint(path)
    assert values(checkpoint) == values(weights())
    (note,) = checkpoint.notes
    assert note.startswith(f"the file also holds weights under '{key}', which are not used; to use them,")
    assert values(follow(note, tmp_path)) == values(weights(scale=2.0))


def test_averaged_weights_one_level_down(save, tmp_path):
    ema = {"decay": 0.999, "module": weights("module.", scale=2.0)}
    (note,) = read_checkpoint(save({"model": weights(), "ema": ema})).notes
    assert values(follow(note, tmp_path)) == values(weights(scale=2.0))
    listed_only = {"model": weights(), "ema": {"shadow_params": [torch.ones(1)]}}
    assert read_checkpoint(save(listed_only)).notes == (
        "the file also holds weights under 'ema', which are not used",
    )


def test_what_is_no_weight_is_not_noted(save):
    content = {
        "model": weights(),
        "ema": None,
        "ema_decay": 0.9,
        "optimizer": {"state": {0: {"step": torch.ones(1)}}},
    }
    assert read_checkpoint(save(content)).notes == ()


def test_the_only_weights_of_a_file_are_read_and_noted(save):
    checkpoint = read_checkpoint(save({"ema_state": weights(), "epoch": 3}))
    assert values(checkpoint) == values(weights())
    assert checkpoint.notes == ("the weights are read from 'ema_state'",)


@pytest.mark.parametrize(
    "content",
    [
        {"optimizer": {"state": {}, "param_groups": []}, "iteration": 3},
        {"state": {0: {"exp_avg": torch.ones(1)}}, "param_groups": [{"lr": 0.1}]},
    ],
)
def test_an_optimizer_alone_is_named(save, content):
    assert "this is an optimizer's state; give the file that has the model's weights" in refusal(
        save(content)
    )


def test_names_that_are_no_text(save):
    assert "has a int where the name of a tensor is expected" in refusal(save({0: torch.ones(1)}))
    assert "has a tuple where" in refusal(save({("a", "b"): torch.ones(1)}))


def test_listed():
    assert listed(NAMES[:2]) == "backbone.a.weight, proposal_generator.b.weight"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert listed(["x" * 500]) == "x" * 77 + "..."
    assert listed(["a\nb"]) == r"a\nb"
