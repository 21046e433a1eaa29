"""Modulated deformable convolution against a loop that follows its definition."""

import math

import pytest
import torch
import torch.nn.functional as F

from edgeblend.model.backbones.deform_conv import ModulatedDeformConv2d


def bilinear(plane: torch.Tensor, y: float, x: float) -> float:
    """Sample one (H, W) plane; each of the four neighbours outside it counts as 0."""
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, weight_y in ((top, top + 1 - y), (top + 1, y - top)):
        for column, weight_x in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                total += weight_y * weight_x * float(plane[row, column])
    return total


def deform_conv_by_loops(conv, x, offset, mask):
    """One output value at a time: every tap reads the input at its own place plus its offset."""
    batch, _, height, width = mask.shape
    out = torch.zeros(batch, conv.weight.shape[0], height, width)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                for tap in range(9):
                    row, column = tap // 3 * conv.dilation, tap % 3 * conv.dilation
                    y = i * conv.stride - conv.padding + row + offset[b, 2 * tap, i, j]
                    x_ = j * conv.stride - conv.padding + column + offset[b, 2 * tap + 1, i, j]
                    for c in range(x.shape[1]):
                        value = bilinear(x[b, c], float(y), float(x_)) * mask[b, tap, i, j]
                        out[b, :, i, j] += conv.weight[:, c, tap // 3, tap % 3] * value
    return out


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_agrees_with_the_definition(stride, dilation):
    torch.manual_seed(stride + dilation)
    conv = ModulatedDeformConv2d(2, 3, stride=stride, padding=dilation, dilation=dilation)
    conv.requires_grad_(False)
    x = torch.randn(2, 2, 5, 4)
    height, width = (5 + stride - 1) // stride, (4 + stride - 1) // stride
    offset = torch.randn(2, 18, height, width) * 2  # many samples lie outside, some by several cells
    offset[0, :, 0, 0] = 100.0
    offset[0, :, -1, -1] = -0.5  # between the edge and the zeros around it
    mask = torch.rand(2, 9, height, width)
    actual = conv(x, offset, mask)
    assert actual.shape == (2, 3, height, width)
    torch.testing.assert_close(actual, deform_conv_by_loops(conv, x, offset, mask), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_without_offsets_it_is_an_ordinary_convolution(stride):
    torch.manual_seed(0)
    conv = ModulatedDeformConv2d(4, 6, stride=stride).requires_grad_(False)
    x = torch.randn(1, 4, 9, 7)
    expected = F.conv2d(x, conv.weight, stride=stride, padding=1)
    offset = torch.zeros(1, 18, *expected.shape[-2:])
    mask = torch.ones(1, 9, *expected.shape[-2:])
    torch.testing.assert_close(conv(x, offset, mask), expected, rtol=1e-4, atol=1e-5)
    moved = conv(x, offset + 0.1, mask)
    assert (moved - expected).abs().max() > 1e-2


def test_an_offset_of_one_cell_shifts_the_input_y_before_x():
    conv = ModulatedDeformConv2d(1, 1).requires_grad_(False)
    conv.weight.zero_()
    conv.weight[0, 0, 1, 1] = 1.0  # the centre tap alone: number 4, offsets 8 (y) and 9 (x)
    x = torch.arange(9.0).view(1, 1, 3, 3)
    offset = torch.zeros(1, 18, 3, 3)
    offset[:, 8] = 1.0
    out = conv(x, offset, torch.full((1, 9, 3, 3), 0.5))
    expected = torch.tensor([[1.5, 2.0, 2.5], [3.0, 3.5, 4.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(out[0, 0], expected)
