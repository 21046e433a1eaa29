"""Split graphs to TFLite files, through LiteRT's converter for torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import litert_torch
import msgspec
import torch
from litert_torch import fx_infra, progress
from torch import Tensor

from edgeblend.converters.opened import ExportedGraph
from edgeblend.converters.process_state import replaced, without_warnings_of
from edgeblend.converters.split import Shape, SplitGraph
from edgeblend.converters.tflite.model_file import (
    name_everything,
    nearest_without_half_pixels,
    read_file,
    to_bytes,
)
from edgeblend.converters.tflite.modules import ChannelsLast, layer_weights
from edgeblend.converters.tflite.precision import round_weights
from edgeblend.converters.third_party import third_party
from edgeblend.errors import ConversionError
from edgeblend.manifest import GraphPrecision, TensorSpec
from edgeblend.model.config_files.schema import ModelConfig, ResNetConfig

FORMAT = "tflite"
PRECISIONS: tuple[GraphPrecision, ...] = ("fp32", "fp16", "int8-dynamic")
"""How weights can be stored."""
DYNAMIC = False
"""Sizes are fixed: devices compile a graph for one."""


def refusal(config: ModelConfig) -> str | None:
    """Return why a network cannot become TFLite files; None if it can."""
    backbone = config.backbone
    if isinstance(backbone, ResNetConfig) and any(backbone.deform_stages):
        return (
            "it has deformable convolutions, which TFLite has no operation for; take a model without them, "
            "or the target openvino"
        )
    return None


def export_graph(
    graph: SplitGraph,
    folder: Path,
    *,
    example: tuple[Tensor, ...],
    shapes: tuple[Shape, ...],
    precision: GraphPrecision,
) -> ExportedGraph:
    """Write a graph as a TFLite file: channels last, float32 in and out, sizes fixed.

    Args:
        graph: what to export.
        folder: where the file goes; it is named after the graph's part.
        example: not needed; the graph is traced with the shapes that it is for.
        shapes: the shape of each input; the image is (1, H, W, 3), others are (1, C, h, w).
        precision: how weights are stored. With ``int8-dynamic`` the engine rounds what goes into a layer,
            too, by the range that it finds there while it runs.

    Returns:
        The file and its tensors. The image holds byte values, 0 to 255, as float32.

    Raises:
        ConversionError: LiteRT does not take the graph.
    """
    del example
    module = ChannelsLast(graph).eval()
    inputs = tuple(
        torch.zeros(_channels_last(shape, spec)) for shape, spec in zip(shapes, graph.inputs, strict=True)
    )
    with (
        third_party(f"LiteRT cannot convert the {graph.part} graph", _first_line),  # MLIR has many lines
        _quiet(),
        torch.no_grad(),
    ):
        content = litert_torch.convert(module, inputs).model_content()
    model = read_file(content)
    nearest_without_half_pixels(model)
    name_everything(
        model,
        inputs=[spec.name for spec in graph.inputs],
        outputs=[spec.name for spec in graph.outputs],
        weights=[(name, weight.detach().numpy()) for name, weight in layer_weights(module)],
    )
    path = folder / f"{graph.part}.tflite"
    path.write_bytes(round_weights(to_bytes(model), precision))
    return ExportedGraph(
        files=(path,),
        inputs=tuple(_in_float(spec) for spec in graph.inputs),
        outputs=tuple(_in_float(spec) for spec in graph.outputs),
    )


def tool_versions() -> dict[str, str]:
    """Return the versions of what exports."""
    return {name: version(name) for name in ("litert-torch", "ai-edge-litert", "ai-edge-quantizer", "torch")}


def _channels_last(shape: Shape, spec: TensorSpec) -> tuple[int, ...]:
    sizes = tuple(side for side in shape if side is not None)
    if len(sizes) != len(shape):
        raise ConversionError(f"a TFLite graph has one size, input {spec.name} was to stay open: {shape}")
    return sizes if spec.layout == "NHWC" else (sizes[0], *sizes[2:], sizes[1])


def _in_float(spec: TensorSpec) -> TensorSpec:
    return msgspec.structs.replace(spec, layout="NHWC", dtype="float32", quantization=None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT from showing its steps, and from taking torch's log handlers away."""
    with (
        replaced(progress.console, quiet=True),  # its switch is an environment variable
        replaced(fx_infra, silence_torch_logs=_do_nothing),
        without_warnings_of("copyreg", "jax", "litert_torch", "torch", "torchao"),
    ):
        yield


def _do_nothing() -> None:
    return None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
