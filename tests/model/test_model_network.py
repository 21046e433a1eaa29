"""The parts of the network that the golden files do not reach."""

import dataclasses
import warnings

import pytest
import torch
from torch import nn

from edgeblend.model.backbones.dla import DLA34
from edgeblend.model.backbones.resnet import Bottleneck, DeformBottleneck
from edgeblend.model.blendmask import build_network, expected_shapes
from edgeblend.model.config import load_config
from edgeblend.model.fcos import FCOSHead


@pytest.fixture(scope="module")
def rt_config():
    return load_config("RT_R_50_4x_syncbn_shtw")


@pytest.fixture(scope="module")
def meta_network(rt_config):
    with torch.device("meta"):
        return build_network(rt_config)


def test_normalize_subtracts_divides_and_pads_with_zeros(rt_config):
    inputs = dataclasses.replace(rt_config.input, pixel_mean=(1.0, 2.0, 3.0), pixel_std=(1.0, 2.0, 4.0))
    network = build_network(dataclasses.replace(rt_config, input=inputs))
    images = torch.tensor([11, 22, 43], dtype=torch.uint8).expand(2, 33, 64, 3)
    out = network.normalize(images)
    assert out.shape == (2, 3, 64, 64)
    assert out.dtype == torch.float32
    assert out[:, :, :33].amax((0, 2, 3)).tolist() == [10.0, 10.0, 10.0]
    assert out[:, :, :33].amin((0, 2, 3)).tolist() == [10.0, 10.0, 10.0]
    assert out[:, :, 33:].count_nonzero() == 0


def test_normalize_adds_nothing_to_multiples_of_32(meta_network):
    images = torch.empty(1, 96, 32, 3, dtype=torch.uint8, device="meta")
    assert meta_network.normalize(images).shape == (1, 3, 96, 32)


@pytest.mark.parametrize("config", ["Panoptic/R_50_dcni3_5x", "DLA_34_syncbn_4x"])
@pytest.mark.long
def test_traces_for_sizes_that_change(config):
    """A trace at one size computes the same as the network at another, with odd P6 and P7."""
    network = build_network(load_config(config)).requires_grad_(False)
    for module in network.modules():  # offsets that move the taps
        if isinstance(module, DeformBottleneck):
            nn.init.normal_(module.conv2_offset.weight, std=0.05)

    class Everything(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images):
            pyramid = network.pyramid(network.normalize(images))
            outputs = [tensor for output in network.head(pyramid) for tensor in output]
            attention = network.attention(outputs[3])
            bases = network.basis([pyramid["p3"], pyramid["p4"], pyramid["p5"]])
            semantic = network.semantic(pyramid) if network.panoptic_module else bases
            return (*outputs, attention, bases, semantic)

    torch.manual_seed(0)
    traced_at = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    other = torch.randint(0, 256, (2, 97, 130, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        traced = torch.jit.trace(Everything(), traced_at, check_trace=False)
    for images in (traced_at, other):
        expected = Everything()(images)
        actual = traced(images)
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_head_scales_boxes_before_the_relu(rt_config):
    torch.manual_seed(0)
    config = dataclasses.replace(rt_config.fcos, use_scale=True, num_share_convs=1)
    plain = FCOSHead(dataclasses.replace(config, use_scale=False), channels=32)
    scaled = FCOSHead(config, channels=32)
    missing = scaled.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == [f"scales.{level}.scale" for level in range(3)]
    scaled.scales[1].scale.data.fill_(-2.0)  # a negative factor tells before from after
    pyramid = {name: torch.randn(1, 32, 4, 4) for name in ("p3", "p4", "p5")}
    with torch.inference_mode():
        a, b = plain(pyramid), scaled(pyramid)
        raw = plain.bbox_pred(a[1].attention_features)
    torch.testing.assert_close(b[0].box_reg, a[0].box_reg)
    torch.testing.assert_close(b[1].box_reg, torch.relu(-2.0 * raw))
    assert (b[1].box_reg > 0).any()
    torch.testing.assert_close(b[1].centerness, a[1].centerness)


def test_scale_has_a_name_in_the_checkpoint(rt_config):
    fcos = dataclasses.replace(rt_config.fcos, use_scale=True)
    added = (
        expected_shapes(dataclasses.replace(rt_config, fcos=fcos)).items()
        - expected_shapes(rt_config).items()
    )
    assert added == {(f"proposal_generator.fcos_head.scales.{i}.scale", (1,)) for i in range(3)}


def test_a_head_without_towers_reads_the_pyramid(rt_config):
    head = FCOSHead(dataclasses.replace(rt_config.fcos, num_share_convs=0), channels=32)
    pyramid = {name: torch.randn(1, 32, 2, 2) for name in ("p3", "p4", "p5")}
    assert head(pyramid)[0].attention_features is pyramid["p3"]


def test_a_head_without_norm_numbers_its_convolutions_0_2_4(rt_config):
    head = FCOSHead(dataclasses.replace(rt_config.fcos, norm="none"), channels=32)
    names = [name for name in head.state_dict() if name.startswith("share_tower")]
    assert names == [f"share_tower.{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")]


def test_training_starts_at_the_prior_probability(rt_config):
    torch.manual_seed(0)
    head = FCOSHead(rt_config.fcos, channels=64)
    assert torch.sigmoid(head.cls_logits.bias).tolist() == pytest.approx([0.01] * 80)
    assert head.bbox_pred.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_the_stride_of_a_bottleneck_moves_to_its_3x3():
    first = Bottleneck(64, 64, stride=2, stride_in_1x1=True)
    middle = Bottleneck(64, 64, stride=2, stride_in_1x1=False)
    assert (first.conv1.stride, first.conv2.stride) == ((2, 2), (1, 1))
    assert (middle.conv1.stride, middle.conv2.stride) == ((1, 1), (2, 2))
    deform = DeformBottleneck(64, 64, stride=2, stride_in_1x1=False)
    assert deform.conv2_offset.stride == (2, 2)
    assert deform(torch.randn(1, 64, 8, 6)).shape == (1, 256, 4, 3)


def test_every_third_block_of_a_deformable_stage_is_deformable():
    with torch.device("meta"):
        bottom_up = build_network(load_config("R_101_dcni3_5x")).backbone.bottom_up
    deformable = {
        name: [
            i for i, block in enumerate(bottom_up.get_submodule(name)) if isinstance(block, DeformBottleneck)
        ]
        for name in ("res2", "res3", "res4", "res5")
    }
    assert deformable == {"res2": [], "res3": [0, 3], "res4": [0, 3, 6, 9, 12, 15, 18, 21], "res5": [0]}


def test_two_projections_of_dla_are_read_by_nothing():
    network = DLA34(load_config("DLA_34_syncbn_4x").backbone).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = network(images)
        for level in (network.level3, network.level4):
            level.project[0].weight.fill_(torch.nan)
        after = network(images)
    for name in before:
        assert torch.equal(before[name], after[name])


def test_semantic_of_a_model_without_it_is_refused(meta_network):
    with pytest.raises(ValueError, match="no semantic branch"):
        meta_network.semantic({})
