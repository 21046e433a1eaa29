"""Split graphs to OpenVINO IR."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openvino as ov
import openvino.opset15 as ops
import torch
from openvino.frontend.pytorch import ConversionExtension, ModuleExtension
from openvino.tools.ovc import convert as ovc_convert
from openvino.tools.ovc import convert_impl as ovc_convert_impl
from torch import Tensor

from edgeblend.converters.opened import ExportedGraph
from edgeblend.converters.openvino.names import name_the_nameless
from edgeblend.converters.process_state import replaced
from edgeblend.converters.split import Shape, SplitGraph
from edgeblend.converters.third_party import third_party
from edgeblend.manifest import GraphPrecision
from edgeblend.model.backbones.deform_conv import ModulatedDeformConv2d
from edgeblend.model.config import ModelConfig

FORMAT = "openvino-ir"
PRECISIONS: tuple[GraphPrecision, ...] = ("fp32", "fp16")
DYNAMIC = True


def refusal(config: ModelConfig) -> None:
    """Refuse nothing: OpenVINO has all that the networks need."""
    del config


def export_graph(
    graph: SplitGraph,
    folder: Path,
    *,
    example: tuple[Tensor, ...],
    shapes: tuple[Shape, ...],
    precision: GraphPrecision,
) -> ExportedGraph:
    """Write a graph as OpenVINO IR.

    Args:
        graph: what to export.
        folder: where the files go; they are named after the graph's part.
        example: inputs to trace with, of any size.
        shapes: the shape of each input of the written graph; None leaves a side open.
        precision: how weights are stored.

    Returns:
        The ``.xml`` and the ``.bin`` file.

    Raises:
        ConversionError: OpenVINO does not take the graph.
    """
    module = copy.deepcopy(graph.module)  # conversion leaves the modules it maps patched
    with third_party(f"OpenVINO cannot convert the {graph.part} graph"), _root_logger_as_it_is():
        model = ov.convert_model(
            module,
            example_input=example,
            input=[ov.PartialShape([-1 if side is None else side for side in shape]) for shape in shapes],
            extension=_deformable_extensions(module) or None,  # it refuses an empty list
        )
    for port, spec in zip(model.inputs, graph.inputs, strict=True):
        port.get_tensor().set_names({spec.name})
        port.get_node().set_friendly_name(spec.name)
    for port, spec in zip(model.outputs, graph.outputs, strict=True):
        port.get_tensor().set_names({spec.name})
    model.validate_nodes_and_infer_types()
    model.set_friendly_name(graph.part)
    name_the_nameless(model)
    path = folder / f"{graph.part}.xml"
    ov.save_model(model, path, compress_to_fp16=precision == "fp16")
    return ExportedGraph((path, path.with_suffix(".bin")), graph.inputs, graph.outputs)


def tool_versions() -> dict[str, str]:
    """Return the versions of what exports."""
    return {"openvino": str(ov.__version__), "torch": str(torch.__version__)}


@contextmanager
def _root_logger_as_it_is() -> Iterator[None]:
    """Keep the conversion from setting the root logger's level, filters and handlers.

    It would do so for all threads, put them back as they were before whatever else was done to them
    meanwhile, and leave them where it fails. It logs nothing that it does not raise, too.
    """
    with (
        replaced(ovc_convert_impl, init_logger=_do_nothing),
        replaced(ovc_convert, restore_logger_state=_do_nothing),
    ):
        yield


def _do_nothing(*given: object) -> None:
    del given


def _deformable_extensions(module: torch.nn.Module) -> list[Any]:
    """Map each deformable convolution to the one operation that OpenVINO has for it.

    One pair of extensions for each module, because stride and padding are attributes of the
    operation and the conversion sees only tensors.
    """
    extensions: list[Any] = []
    for index, layer in enumerate(module.modules()):
        if isinstance(layer, ModulatedDeformConv2d):
            target = f"edgeblend::deform_conv_{index}"
            extensions += [
                ModuleExtension(layer, target, evaluate=_empty_output, convert=_call_target),
                ConversionExtension(target, _translate_deformable(layer)),
            ]
    return extensions


def _empty_output(layer: ModulatedDeformConv2d, *operands: Tensor) -> Tensor:
    # Tracing calls it with the operands of `_call_target` and needs the shape alone.
    x, offset = operands[:2]
    return x.new_zeros((x.shape[0], layer.weight.shape[0], *offset.shape[-2:]))


def _call_target(
    layer: ModulatedDeformConv2d, target: Callable[..., Tensor], x: Tensor, offset: Tensor, mask: Tensor
) -> Tensor:
    bias = layer.bias if layer.bias is not None else torch.zeros(layer.weight.shape[0])
    return target(x, offset, mask, layer.weight, bias.reshape(1, -1, 1, 1))


def _translate_deformable(layer: ModulatedDeformConv2d) -> Callable[[Any], list[Any]]:
    stride, padding, dilation = _pair(layer.stride), _pair(layer.padding), _pair(layer.dilation)

    def translate(context: Any) -> list[Any]:  # noqa: ANN401 - OpenVINO's node context has no public type
        x, offset, mask, weight, bias = (context.get_input(index) for index in range(5))
        convolution = ops.deformable_convolution(
            x,
            offset,
            weight,
            strides=stride,
            pads_begin=padding,
            pads_end=padding,
            dilations=dilation,
            mask=mask,
            auto_pad="EXPLICIT",
            bilinear_interpolation_pad=True,  # neighbours outside the map count as 0
        )
        return [ops.add(convolution, bias).output(0)]

    return translate


def _pair(value: int | tuple[int, int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)
