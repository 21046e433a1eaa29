"""The network as the graphs that a device runs: detector and basis.

The detector takes the camera's bytes and ends at the head's outputs, each on its own: outputs of
unlike range that share one tensor would have to share one scale once they are quantized. The basis
graph takes P3..P5 and is not run when nothing was detected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeblend.arguments.choices import check_choice
from edgeblend.manifest import Part, TensorSpec
from edgeblend.model.blendmask import SIZE_DIVISOR, BlendMask

AttentionMode = Literal["sparse", "dense"]
Shape = tuple[int | None, ...]
"""Of a tensor; None is a side that stays open."""

_EXAMPLE_SIZE = (160, 224)
"""Height and width to trace with: no size is baked in, and small ones trace faster."""


@dataclass(frozen=True, slots=True)
class SplitGraph:
    """One graph as a torch module, with the names of what goes in and comes out, in order."""

    part: Part
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class DetectorGraph(nn.Module):
    """(1, H, W, 3) uint8 BGR to the head's outputs level by level, then the pyramid for the bases."""

    def __init__(self, network: BlendMask, *, attention: AttentionMode) -> None:
        super().__init__()
        self.network = network
        self.dense = attention == "dense"

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors that :func:`split_network` names, in that order."""
        pyramid = self.network.pyramid(self.network.normalize(image))
        outputs: list[Tensor] = []
        for level in self.network.head(pyramid):
            features = level.attention_features
            attention = self.network.attention(features) if self.dense else features
            outputs += [level.cls_logits, level.box_reg, level.centerness, attention]
        outputs += [pyramid[name] for name in self.network.config.basis.in_features]
        return tuple(outputs)


class BasisGraph(nn.Module):
    """P3..P5 to the (1, K, H/4, W/4) bases."""

    def __init__(self, network: BlendMask) -> None:
        super().__init__()
        self.network = network

    def forward(self, *features: Tensor) -> Tensor:
        """Return the bases of the whole picture."""
        return self.network.basis(features)


def split_network(network: BlendMask, *, attention: AttentionMode) -> tuple[SplitGraph, SplitGraph]:
    """Return the detector and the basis graph of a network in evaluation mode."""
    check_choice("attention", attention, get_args(AttentionMode))
    config = network.config
    attention_role: Literal["attention", "attention_features"] = (
        "attention" if attention == "dense" else "attention_features"
    )
    head = tuple(
        TensorSpec(role=role, level=level, name=f"{role}_{level}", layout="NCHW", dtype="float32")
        for level in config.fcos.in_features
        for role in ("cls_logits", "box_reg", "centerness", attention_role)
    )
    pyramid = tuple(
        TensorSpec(role="pyramid", level=level, name=level, layout="NCHW", dtype="float32")
        for level in config.basis.in_features
    )
    image = TensorSpec(role="image", level=None, name="image", layout="NHWC", dtype="uint8")
    bases = TensorSpec(role="bases", level=None, name="bases", layout="NCHW", dtype="float32")
    return (
        SplitGraph("detector", DetectorGraph(network, attention=attention), (image,), (*head, *pyramid)),
        SplitGraph("basis", BasisGraph(network), pyramid, (bases,)),
    )


def example_inputs(detector: SplitGraph) -> dict[str, Tensor]:
    """Return small inputs to trace both graphs with, by tensor name: an image and the detector's outputs."""
    image = torch.zeros((1, *_EXAMPLE_SIZE, 3), dtype=torch.uint8)
    with torch.no_grad():
        outputs = detector.module(image)
    return {"image": image} | {spec.name: out for spec, out in zip(detector.outputs, outputs, strict=True)}


def input_shapes(graph: SplitGraph, canvas: tuple[int, int] | None, channels: int) -> tuple[Shape, ...]:
    """Return the shape of each input for a canvas of (height, width), or None for one that stays open.

    Args:
        graph: the detector or the basis graph.
        canvas: network pixels.
        channels: of a pyramid level.
    """
    if graph.part == "detector":
        return ((1, *(canvas or (None, None)), 3),)
    if canvas is None:
        return ((1, channels, None, None),) * len(graph.inputs)
    # The graph pads to a multiple of the coarsest stride, so every level divides evenly.
    padded = [-(-side // SIZE_DIVISOR) * SIZE_DIVISOR for side in canvas]
    strides = [2 ** int(str(spec.level).removeprefix("p")) for spec in graph.inputs]
    return tuple((1, channels, *(side // stride for side in padded)) for stride in strides)


def attention_weights(network: BlendMask) -> dict[str, NDArray[np.float32]]:
    """Return the attention layer for the runtime: a 3x3 convolution as one matrix.

    Returns:
        ``weight`` (9 * C, K * M * M) float32 with rows ordered (ky, kx, channel), and ``bias``
        (K * M * M,) float32.
    """
    layer = network.top_layer
    assert layer.bias is not None
    weight = layer.weight.detach().permute(2, 3, 1, 0).reshape(-1, layer.out_channels)
    return {
        "weight": weight.to("cpu", torch.float32).contiguous().numpy(),
        "bias": layer.bias.detach().to("cpu", torch.float32).numpy(),
    }
