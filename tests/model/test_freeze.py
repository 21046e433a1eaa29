"""What of a backbone training leaves as it is, for every backbone."""

import dataclasses

import pytest
import torch
from tiny_training import tiny_config
from torch import nn

from edgeblend.model.backbones.freeze import freeze_backbone
from edgeblend.model.blendmask import build_network
from edgeblend.model.config import load_config

STAGES = {
    "R_50_3x": ["stem", "res2", "res3", "res4", "res5"],
    "DLA_34_syncbn_4x": ["base_layer level0 level1", "level2", "level3", "level4", "level5"],
}


def frozen_network(config, **backbone):
    """In training mode and then frozen, without memory for its weights."""
    config = dataclasses.replace(config, backbone=dataclasses.replace(config.backbone, **backbone))
    with torch.device("meta"):
        network = build_network(config).train()
    freeze_backbone(network)
    return network


def learning(module):
    return {p.requires_grad for p in module.parameters()}


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("freeze_at", range(6))
def test_the_first_parts_are_frozen(name, freeze_at):
    network = frozen_network(load_config(name), norm="BN", freeze_at=freeze_at)
    bottom_up = network.backbone.bottom_up
    for index, children in enumerate(STAGES[name]):
        for child in children.split():
            module = bottom_up.get_submodule(child)
            assert learning(module) == {index >= freeze_at}, child
            assert module.training == (index >= freeze_at), child
    others = [module for key, module in network.named_children() if key != "backbone"]
    for module in (*others, network.backbone.fpn_lateral5):
        assert learning(module) == {True}
        assert module.training


@pytest.mark.parametrize(("freeze_at", "frozen_blocks"), [(0, 0), (1, 1), (2, 3), (3, 5), (4, 11), (5, 16)])
def test_the_first_parts_of_lite0_are_frozen(freeze_at, frozen_blocks):
    bottom_up = frozen_network(tiny_config(norm="BN", freeze_at=freeze_at)).backbone.bottom_up
    assert learning(bottom_up.stem) == {freeze_at == 0}
    for index, block in enumerate(bottom_up.blocks):
        assert learning(block) == {index >= frozen_blocks}, index
        assert block.training == (index >= frozen_blocks), index


@pytest.mark.parametrize("name", [*STAGES, "Lite0_320"])
@pytest.mark.parametrize("norm", ["FrozenBN", "BN", "SyncBN"])
def test_frozen_batch_norms_are_those_of_the_backbone_alone(name, norm):
    network = frozen_network(load_config(name), norm=norm, freeze_at=0)
    for module in network.backbone.bottom_up.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == (norm != "FrozenBN")
            assert learning(module) == {norm != "FrozenBN"}
        elif isinstance(module, nn.Conv2d):
            assert module.weight.requires_grad
    for module in network.basis_module.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training
            assert learning(module) == {True}


def test_the_configs_freeze_what_they_say():
    assert load_config("R_50_3x").backbone.freeze_at == 2  # the default
    assert load_config("R_50_3x").backbone.norm == "FrozenBN"
    assert load_config("DLA_34_syncbn_4x").backbone.norm == "SyncBN"


def test_a_frozen_norm_keeps_its_statistics_and_a_free_one_does_not():
    torch.manual_seed(0)
    network = build_network(tiny_config(norm="BN", freeze_at=3)).train()
    bottom_up = network.backbone.bottom_up
    before = {name: tensor.clone() for name, tensor in bottom_up.state_dict().items()}
    freeze_backbone(network)
    bottom_up(torch.randn(2, 3, 64, 64))
    after = bottom_up.state_dict()
    moved = {int(name.split(".")[1]) for name in after if not torch.equal(after[name], before[name])}
    assert moved == set(range(5, 16))  # blocks; the stem has no number, and would be an error here
    network.train()  # undoes the freezing of statistics: it must be called again
    assert bottom_up.stem.norm.training
    freeze_backbone(network)
    assert not bottom_up.stem.norm.training


def test_freezing_twice_changes_nothing():
    network = frozen_network(tiny_config())
    before = [p.requires_grad for p in network.parameters()], [m.training for m in network.modules()]
    freeze_backbone(network)
    assert (
        [p.requires_grad for p in network.parameters()],
        [m.training for m in network.modules()],
    ) == before
