"""Folding batch norms changes what the network is made of, and not what it computes."""

import pytest
import torch
from torch import nn

from edgeblend.model.blendmask import BlendMask
from edgeblend.model.fold import fold_batch_norms

CONFIGS = ("RT_R_50_4x_bn-head_syncbn_shtw", "DLA_34_syncbn_4x", "R_101_dcni3_5x", "Panoptic/R_50_3x")


def outputs(network: BlendMask) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (1, 128, 160, 3), dtype=torch.uint8)
    with torch.inference_mode():
        pyramid = network.pyramid(network.normalize(images))
        found = dict(pyramid)
        for level, output in enumerate(network.head(pyramid)):
            found |= {f"{name}_{level}": tensor for name, tensor in output._asdict().items()}
        found["bases"] = network.basis([pyramid[name] for name in network.config.basis.in_features])
        if network.panoptic_module is not None:
            found["semantic"] = network.semantic(pyramid)
    return found


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    differences = torch.stack([(a[name] - b[name]).abs().max() / a[name].std() for name in a])
    assert differences.isfinite().all()
    return float(differences.max())


def batch_norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.long
def test_folded_network_computes_the_same(config, golden_network):
    network = golden_network(config)
    before, count = outputs(network), batch_norms(network)
    folded = fold_batch_norms(network)
    assert batch_norms(folded) == 0
    assert batch_norms(network) == count > 0
    assert largest_difference(before, outputs(folded)) < 1e-4
    assert largest_difference(before, outputs(network)) == 0.0  # the original is untouched


@pytest.mark.long
def test_folding_with_a_wrong_statistic_is_noticed(golden_network):
    network = golden_network("RT_R_50_4x_bn-head_syncbn_shtw")
    norm = network.backbone.bottom_up.get_submodule("res4.3.conv2.norm")
    right = norm.running_var.clone()
    try:
        norm.running_var.mul_(1.1)
        folded = fold_batch_norms(network)
    finally:
        norm.running_var.copy_(right)
    assert largest_difference(outputs(network), outputs(folded)) > 1e-4


@pytest.mark.long
def test_a_level_keeps_its_own_norm(golden_network):
    folded = fold_batch_norms(golden_network("RT_R_50_4x_bn-head_syncbn_shtw"))
    convs = folded.proposal_generator.fcos_head.share_tower[0]
    assert isinstance(convs, nn.ModuleList)
    assert len(convs) == 3
    assert not torch.equal(convs[0].weight, convs[1].weight)
