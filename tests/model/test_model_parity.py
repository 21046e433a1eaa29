"""The network against what the reference implementation computed with the same weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edgeblend.model.blendmask import expected_shapes
from edgeblend.model.config import PUBLISHED, load_config

GOLDEN = (
    "R_50_3x",
    "550_R_50_1x",
    "RT_R_50_4x_bn-head_syncbn_shtw",
    "DLA_34_syncbn_4x",
    "R_101_dcni3_5x",
    "Panoptic/R_50_3x",
)
TOLERANCE = 1e-3
"""Of the tensor's standard deviation; measured are at most 3e-5."""


def relative_error(actual: torch.Tensor, expected: np.ndarray) -> float:
    assert actual.shape == expected.shape
    return float(np.abs(actual.numpy() - expected).max() / expected.std())


@pytest.fixture(scope="module", params=GOLDEN)
def case(request, golden, golden_network):
    """Golden arrays, network, pyramid and head outputs of one config."""
    arrays, network = golden(request.param), golden_network(request.param)
    pyramid = network.pyramid(network.normalize(torch.from_numpy(arrays["image_bgr"])[None]))
    return arrays, network, pyramid, network.head(pyramid)


@pytest.mark.parametrize("config", PUBLISHED)
def test_parameter_names_and_shapes_are_the_published_ones(config, published_shapes):
    assert expected_shapes(load_config(config)) == published_shapes(config)


@pytest.mark.long
def test_pyramid(case):
    arrays, _, pyramid, _ = case
    names = [name.split("_")[1] for name in arrays if name.endswith("_corner")]
    assert list(pyramid) == sorted(names)
    for name in names:
        level = pyramid[name][0]
        assert relative_error(level.mean((1, 2)), arrays[f"feature_{name}_mean"]) < TOLERANCE
        assert relative_error(level.std((1, 2)), arrays[f"feature_{name}_std"]) < TOLERANCE
        assert relative_error(level[:16, :4, :4], arrays[f"feature_{name}_corner"]) < TOLERANCE


@pytest.mark.long
def test_head(case):
    arrays, network, _, outputs = case
    names = network.config.fcos.in_features
    assert len(outputs) == len(names)
    for name, output in zip(names, outputs, strict=True):
        assert relative_error(output.cls_logits[0], arrays[f"cls_logits_{name}"]) < TOLERANCE
        assert relative_error(output.box_reg[0], arrays[f"bbox_reg_{name}"]) < TOLERANCE
        assert relative_error(output.centerness[0], arrays[f"ctrness_{name}"]) < TOLERANCE


@pytest.mark.long
def test_bases(case):
    arrays, network, pyramid, _ = case
    bases = network.basis([pyramid[name] for name in network.config.basis.in_features])
    assert relative_error(bases[0], arrays["bases"]) < TOLERANCE


@pytest.mark.long
def test_attention_of_the_detections(case):
    arrays, network, _, outputs = case
    maps = [network.attention(output.attention_features)[0] for output in outputs]
    strides = network.config.fcos.strides
    vectors = []
    for (x, y), level in zip(arrays["det_locations"], arrays["det_fpn_levels"], strict=True):
        stride = strides[level]
        vectors.append(maps[level][:, int(y) // stride, int(x) // stride])
    assert relative_error(torch.stack(vectors), arrays["det_attention"]) < TOLERANCE


@pytest.mark.long
def test_a_wrong_weight_is_noticed(golden, golden_network):
    """The tolerance is tight enough to see one channel of one P3 convolution off by a hundredth."""
    arrays, network = golden("DLA_34_syncbn_4x"), golden_network("DLA_34_syncbn_4x")
    output3 = network.backbone.get_submodule("fpn_output3")
    images = network.normalize(torch.from_numpy(arrays["image_bgr"])[None])
    right = output3.weight.clone()
    try:
        output3.weight[0] *= 1.01
        corner = network.pyramid(images)["p3"][0, :16, :4, :4]
    finally:
        output3.weight.copy_(right)
    assert relative_error(corner, arrays["feature_p3_corner"]) > TOLERANCE


@pytest.mark.long
def test_semantic_map(golden, golden_network):
    arrays, network = golden("Panoptic/R_50_3x"), golden_network("Panoptic/R_50_3x")
    images = torch.from_numpy(arrays["image_bgr"])[None]
    logits = network.semantic(network.pyramid(network.normalize(images)))
    assert logits.shape == (1, 54, 288 // 4, 352 // 4)
    height, width = images.shape[1:3]
    upsampled = F.interpolate(logits, scale_factor=4, mode="bilinear")[:, :, :height, :width]
    resized = F.interpolate(upsampled, size=tuple(arrays["output_size"]), mode="bilinear")
    agreement = (resized[0].argmax(0).numpy() == arrays["out_sem_seg_argmax"]).mean()
    assert agreement > 0.999
