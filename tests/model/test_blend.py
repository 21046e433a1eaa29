"""Blending in torch against the runtime's NumPy, and attention at some locations against the dense layer."""

import numpy as np
import pytest
import torch
from torch import nn

from edgeblend.model.blend import blend, gather_attention, roi_align
from edgeblend.runtime import blender
from edgeblend.runtime import roi_align as runtime_roi_align


def runtime_crops(bases, boxes, *, stride, size):
    arrays = bases.numpy(), boxes.numpy()
    return runtime_roi_align.roi_align(*arrays, spatial_scale=1 / stride, output_size=size)


def random_boxes(rng, count):
    """Inside, over every border and outside of 28 x 20 cells at stride 4; from a speck to 400 pixels."""
    centres, sides = rng.uniform([-30, -30], [142, 110], (count, 2)), np.exp(rng.uniform(-2, 6, (count, 2)))
    return torch.from_numpy(np.hstack([centres - sides / 2, centres + sides / 2]).astype(np.float32))


@pytest.mark.parametrize("seed", range(3))
def test_roi_align_equals_the_runtimes(seed):
    rng = np.random.default_rng(seed)
    bases = torch.from_numpy(rng.normal(0, 2, (4, 20, 28)).astype(np.float32))
    boxes = random_boxes(rng, 40)
    found = roi_align(bases, boxes, stride=4, size=14)
    np.testing.assert_allclose(found, runtime_crops(bases, boxes, stride=4, size=14), atol=5e-5)
    outside = (found == 0).flatten(2).all(dim=2).all(dim=1)
    assert 0 < outside.sum() < 40  # some boxes see nothing, and not all


@pytest.mark.parametrize(
    "box",
    [
        [8, 8, 8, 8],  # without an area: every sample in one place
        [0.3, 0.2, 0.4, 0.3],
        [-5000, -4000, 6000, 7000],
        [-90, 0, -50, 20],
        [0, 1e7, 20, 2e7],
        [-1e9, -1e9, 1e9, 1e9],
    ],
)
def test_roi_align_of_degenerate_and_huge_boxes_equals_the_runtimes(box):
    bases = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 9, 7)).astype(np.float32))
    boxes = torch.tensor([box], dtype=torch.float32)
    found = roi_align(bases, boxes, stride=4, size=6)
    assert found.isfinite().all()
    np.testing.assert_allclose(found, runtime_crops(bases, boxes, stride=4, size=6), atol=1e-5)


def test_a_ramp_by_hand():
    ramp = torch.arange(25.0).view(1, 5, 5)
    # Four bins of half a cell over cells 1 and 2, sampled at 0.75, 1.25, 1.75 and 2.25; the ramp is 5 y + x.
    found = roi_align(ramp, torch.tensor([[1.0, 1.0, 3.0, 3.0]]), stride=1, size=4)[0, 0]
    torch.testing.assert_close(found[0], torch.tensor([4.5, 5.0, 5.5, 6.0]))
    torch.testing.assert_close(found[:, 0], torch.tensor([4.5, 7.0, 9.5, 12.0]))
    torch.testing.assert_close(
        roi_align(ramp, torch.tensor([[0.0, 0.0, 20.0, 20.0]]), stride=4, size=5)[0], ramp
    )


def test_samples_beyond_the_border():
    row = torch.tensor([[[10.0, 20.0, 30.0]]])
    # Ten bins of one cell from x = -3: samples at -3, -2, ..., 6. In y all lie within half a cell of the row.
    found = roi_align(row, torch.tensor([[-3.0, 0.0, 7.0, 1.0]]), stride=1, size=10)[0, 0]
    assert found.tolist() == [[0, 0, 10, 10, 20, 30, 30, 0, 0, 0]] * 10


def test_roi_align_of_no_boxes():
    bases = torch.ones(4, 5, 5, requires_grad=True)
    assert roi_align(bases, torch.empty(0, 4), stride=4, size=8).shape == (0, 4, 8, 8)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize(("size", "attention_size"), [(8, 4), (8, 3), (5, 5), (56, 14)])
def test_blend_equals_the_runtimes(interpolation, size, attention_size):
    rng = np.random.default_rng(size)
    crops = rng.normal(0, 3, (7, 4, size, size)).astype(np.float32)
    attention = rng.normal(0, 3, (7, 4, attention_size, attention_size)).astype(np.float32)
    expected = blender.blend(crops, attention, interpolation=interpolation)
    logits = blend(
        torch.from_numpy(crops), torch.from_numpy(attention).flatten(1), interpolation=interpolation
    )
    assert logits.shape == (7, size, size)
    np.testing.assert_allclose(torch.sigmoid(logits), expected, atol=2e-6)
    # Another order of the attention's channels is noticed.
    wrong = torch.from_numpy(attention).transpose(2, 3).flatten(1)
    wrong = blend(torch.from_numpy(crops), wrong, interpolation=interpolation)
    assert np.abs(torch.sigmoid(wrong).numpy() - expected).max() > 0.1


def test_equal_attention_averages_the_bases():
    crops = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    assert blend(crops, torch.zeros(1, 2), interpolation="bilinear").item() == 2.0


def test_blend_of_extreme_values_is_finite():
    crops = torch.tensor([[-1e3, 1e3], [1e3, -1e3]]).view(2, 2, 1, 1).requires_grad_()
    attention = torch.tensor([[1e4, -1e4], [1e4, -1e4]], requires_grad=True)
    logits = blend(crops, attention, interpolation="bilinear")
    assert logits.flatten().tolist() == [-1e3, 1e3]
    logits.sum().backward()
    assert crops.grad.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]
    assert attention.grad.isfinite().all()


def test_blend_of_nothing():
    assert blend(torch.empty(0, 4, 8, 8), torch.empty(0, 16), interpolation="bilinear").shape == (0, 8, 8)
    assert blend(torch.empty(0, 4, 8, 8), torch.empty(0, 16), interpolation="nearest").shape == (0, 8, 8)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_gradients_of_roi_align_are_right():
    torch.manual_seed(0)
    boxes = random_boxes(np.random.default_rng(0), 6).double() / 4
    bases = random(2, 5, 7)
    assert torch.autograd.gradcheck(lambda b: roi_align(b, boxes, stride=4, size=4), (bases,))
    roi_align(bases, boxes, stride=4, size=4).sum().backward()
    assert bases.grad.any()


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_gradients_of_blend_are_right(interpolation):
    torch.manual_seed(0)
    inputs = (random(2, 3, 4, 4), random(2, 3 * 2 * 2))
    assert torch.autograd.gradcheck(lambda c, a: blend(c, a, interpolation=interpolation), inputs)


GRIDS = ((4, 6), (2, 3), (1, 2))
CELLS = sum(height * width for height, width in GRIDS)


@pytest.fixture
def attention_case():
    """A layer, two pictures' features, every location of both in random order, and the dense layer there."""
    torch.manual_seed(0)
    layer = nn.Conv2d(5, 12, 3, padding=1)
    features = [torch.randn(2, 5, height, width, requires_grad=True) for height, width in GRIDS]
    order = torch.randperm(2 * CELLS)
    pictures, cells = order // CELLS, order % CELLS

    def dense():
        maps = torch.cat([layer(feature).flatten(2) for feature in features], dim=2)  # (B, 12, L)
        return maps[pictures, :, cells]

    return layer, features, pictures, cells, dense


def test_gathered_attention_equals_the_dense_layer(attention_case):
    layer, features, pictures, cells, dense = attention_case
    found = gather_attention(layer, features, pictures, cells)
    torch.testing.assert_close(found, dense(), rtol=1e-5, atol=1e-6)
    # Every location stands for itself alone, on the border too.
    one = gather_attention(layer, features, pictures[5:6], cells[5:6])
    torch.testing.assert_close(one, found[5:6])
    moved = gather_attention(layer, features, pictures, (cells + 1) % CELLS)
    assert (moved - dense()).abs().amax(dim=1).min() > 1e-3


def test_gathered_attention_has_the_gradients_of_the_dense_layer(attention_case):
    layer, features, pictures, cells, dense = attention_case
    some = slice(0, 20)
    torch.manual_seed(1)
    weights = torch.randn(20, 12)
    leaves = [layer.weight, layer.bias, *features]
    expected = torch.autograd.grad((dense()[some] * weights).sum(), leaves)
    gathered = gather_attention(layer, features, pictures[some], cells[some])
    found = torch.autograd.grad((gathered * weights).sum(), leaves)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert a.any()


def test_memory_format_does_not_matter(attention_case):
    layer, features, pictures, cells, dense = attention_case
    expected = dense()
    layer = layer.to(memory_format=torch.channels_last)
    features = [feature.to(memory_format=torch.channels_last) for feature in features]
    found = gather_attention(layer, features, pictures, cells)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_gathered_attention_in_mixed_precision(attention_case):
    layer, features, pictures, cells, dense = attention_case
    expected = dense()
    with torch.autocast("cpu", torch.bfloat16):
        found = gather_attention(layer, [f.bfloat16() for f in features], pictures, cells)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.03)


def test_attention_at_no_location(attention_case):
    layer, features, pictures, cells, _ = attention_case
    found = gather_attention(layer, features, pictures[:0], cells[:0])
    assert found.shape == (0, 12)
    found.sum().backward()
    assert not layer.weight.grad.any()
