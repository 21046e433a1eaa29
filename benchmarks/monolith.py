"""What people run today: one graph, dense attention, plain torch around it.

The whole network exported at once, attention computed at every location and bases for every frame; float32 or
quantized as NNCF does it by default. ``torch_postprocessing.py`` comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nncf
import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
import torch
import torch_postprocessing as with_torch
from numpy.typing import NDArray
from synthetic_heads import Synthetic
from torch import Tensor, nn

from edgeblend.converters.split import split_network
from edgeblend.model.blendmask import BlendMask
from edgeblend.spec import BlendSpec, DecodeSpec

Frame = NDArray[np.uint8]
Outputs = Mapping[str, Tensor]
Graph = Callable[[Frame], Outputs]
"""(1, H, W, 3) uint8 BGR to outputs by name, each (1, C, h, w)."""

OPSET = 18


class Monolith(nn.Module):
    """(1, H, W, 3) uint8 BGR to heads, dense attention and bases."""

    def __init__(self, network: BlendMask) -> None:
        super().__init__()
        self._detector, self._basis = split_network(network, attention="dense")
        self.detector, self.basis = self._detector.module, self._basis.module
        heads = len(self._detector.outputs) - len(self._basis.inputs)
        self.names = [*(spec.name for spec in self._detector.outputs[:heads]), "bases"]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors that ``names`` says."""
        outputs = self.detector(image)
        heads = len(self.names) - 1
        return (*outputs[:heads], self.basis(*outputs[heads:]))


def export(network: BlendMask, size: tuple[int, int], path: Path) -> list[str]:
    """Write the network as one ONNX file; returns the names of its outputs."""
    module = Monolith(network).eval()
    image = torch.zeros((1, *size, 3), dtype=torch.uint8)
    torch.onnx.export(
        module,
        (image,),
        path,
        input_names=["image"],
        output_names=module.names,
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return module.names


def in_torch(network: BlendMask) -> Graph:
    """Return the network as eager torch."""
    module = Monolith(network).eval()

    def run(frame: Frame) -> Outputs:
        with torch.inference_mode():
            return dict(zip(module.names, module(torch.from_numpy(frame)), strict=True))

    return run


def quantize_openvino(path: Path, calibration: Sequence[Frame], out: Path) -> None:
    """Write a file as OpenVINO's INT8."""
    model = nncf.quantize(ov.Core().read_model(path), nncf.Dataset(calibration))
    ov.save_model(model, out, compress_to_fp16=False)


def quantize_onnx(path: Path, calibration: Sequence[Frame], out: Path) -> None:
    """Write a file as INT8 in ONNX."""
    feeds = nncf.Dataset([{"image": frame} for frame in calibration])
    onnx.save(nncf.quantize(onnx.load(path), feeds), out)


def in_openvino(path: Path) -> Graph:
    """Open a file on OpenVINO."""
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": ov.Type.f32}
    compiled = ov.Core().compile_model(path, "CPU", hints)
    request = compiled.create_infer_request()
    names = [port.get_any_name() for port in compiled.outputs]

    def run(frame: Frame) -> Outputs:
        results = request.infer([frame], share_inputs=True, share_outputs=True)
        return dict(zip(names, map(torch.from_numpy, results.values()), strict=True))

    return run


def in_onnxruntime(path: Path) -> Graph:
    """Open a file on ONNX Runtime."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(frame: Frame) -> Outputs:
        results = session.run(None, {"image": frame})
        return dict(zip(names, map(torch.from_numpy, results), strict=True))

    return run


class Masks(NamedTuple):
    """What a plain pipeline finds."""

    found: with_torch.Found
    probs: Tensor
    """(N, R, R)."""
    masks: Tensor
    """(N, H, W) bool."""


class Pipeline:
    """A frame as large as the canvas to masks as large as the frame, around any of the graphs above."""

    def __init__(self, graph: Graph, decode: DecodeSpec, blend: BlendSpec, made_up: Synthetic) -> None:
        self._graph, self._decode, self._blend = graph, decode, blend
        self._planted = {
            f"{role}_{level.name}": torch.from_numpy(getattr(outputs, role)[None])
            for level, outputs in zip(decode.levels, made_up.levels, strict=True)
            for role in ("cls_logits", "box_reg", "centerness")
        }

    def __call__(self, frame: Frame) -> Masks:
        """Segment one frame; the heads are replaced by what was made up."""
        outputs = {**self._graph(frame[None]), **self._planted}
        names = [level.name for level in self._decode.levels]
        heads = [
            with_torch.Heads(
                *(outputs[f"{role}_{name}"][0] for role in ("cls_logits", "box_reg", "centerness"))
            )
            for name in names
        ]
        with torch.inference_mode():
            found = with_torch.decode(heads, self._decode)
            maps = [outputs[f"attention_{name}"][0] for name in names]
            attention = with_torch.read_attention(maps, found, self._blend)
            rois = with_torch.roi_align(outputs["bases"][0], found.boxes, self._blend)
            probs = with_torch.blend(rois, attention, self._blend)
            height, width = frame.shape[:2]
            boxes = torch.minimum(found.boxes.clamp(min=0), torch.tensor([width, height, width, height]))
            masks = with_torch.paste_masks_by_box(probs, boxes, (height, width))
        return Masks(found._replace(boxes=boxes), probs, masks)
