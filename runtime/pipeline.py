"""The stages of one frame as functions, and the pipeline that runs them on the host.

Whatever takes a frame through a bundle's graphs, or part of the way, calls these: the segmenter, recording of
graph outputs, benchmarks of graphs, calibration.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeblend.manifest import GraphSpec, Part
from edgeblend.results import Instances
from edgeblend.runtime.assemble import PasteMode, place
from edgeblend.runtime.attention import AttentionLayer, gather_attention, read_attention
from edgeblend.runtime.backends.base import Array, Session
from edgeblend.runtime.blender import blend_boxes
from edgeblend.runtime.decode import Detections, LevelOutputs, decode
from edgeblend.runtime.preprocess import Prepared, preprocess
from edgeblend.runtime.tensors import basis_inputs, detector_inputs, outputs_by_role
from edgeblend.spec import BlendSpec, DecodeSpec, InputSpec

FloatArray = NDArray[np.float32]

_HEADS = ("cls_logits", "box_reg", "centerness")


class PipelineSpec(Protocol):
    """What the stages of a frame need to know of a network: a manifest, or what stands for one."""

    @property
    def input(self) -> InputSpec:
        """How a frame becomes the detector's input."""

    @property
    def decode(self) -> DecodeSpec:
        """How head outputs become detections."""

    @property
    def blend(self) -> BlendSpec:
        """How bases and attention become masks."""

    @property
    def graphs(self) -> Mapping[Part, GraphSpec]:
        """The tensors of each graph."""

    @property
    def things(self) -> tuple[str, ...]:
        """Class names, by class index."""

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Category ids, by class index."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectorOutputs:
    """Outputs of the detector graph. They may be the engine's own memory: valid until its next run."""

    raw: Mapping[str, Array]
    """As the engine stores them, by name."""
    tensors: Mapping[tuple[str, str | None], FloatArray]
    """(C, h, w) by role and pyramid level."""


def prepare(manifest: PipelineSpec, frame: NDArray[Any]) -> Prepared:
    """Return a frame, (H, W, 3) uint8 BGR, on the canvas of the network."""
    return preprocess(frame, manifest.input)


def detector_feed(manifest: PipelineSpec, canvas: NDArray[np.uint8]) -> dict[str, Array]:
    """Return the inputs of the detector graph, by name, for a canvas (1, H, W, 3) uint8 BGR."""
    return detector_inputs(manifest.graphs["detector"], canvas)


def detect(manifest: PipelineSpec, session: Session, feed: Mapping[str, Array]) -> DetectorOutputs:
    """Run the detector graph on its inputs."""
    raw = session.run(feed)
    return DetectorOutputs(raw, outputs_by_role(manifest.graphs["detector"], raw))


def find_detections(
    manifest: PipelineSpec, outputs: DetectorOutputs, *, score_threshold: float | None = None
) -> Detections:
    """Return the detections in network pixels, by descending score; None takes the model's threshold."""
    levels = [
        LevelOutputs(*(outputs.tensors[role, level.name] for role in _HEADS))
        for level in manifest.decode.levels
    ]
    return decode(levels, manifest.decode, score_threshold=score_threshold)


def attend(
    manifest: PipelineSpec, outputs: DetectorOutputs, detections: Detections, layer: AttentionLayer | None
) -> FloatArray:
    """Return the attention of N detections, (N, K, M, M).

    Args:
        manifest: of the bundle, or what stands for it.
        outputs: of the detector.
        detections: found in them.
        layer: the attention layer of a bundle with sparse attention; None reads what the graph computed.
    """
    role = "attention" if layer is None else "attention_features"
    maps = [outputs.tensors[role, level.name] for level in manifest.decode.levels]
    if layer is None:
        return read_attention(maps, detections, manifest.blend)
    return gather_attention(maps, detections, layer, manifest.blend)


def basis_feed(manifest: PipelineSpec, outputs: DetectorOutputs) -> dict[str, Array]:
    """Return the inputs of the basis graph, by name; they may be the detector's own outputs, not copied."""
    return basis_inputs(manifest.graphs["detector"], manifest.graphs["basis"], outputs.raw)


def compute_bases(
    manifest: PipelineSpec, session: Session, feed: Mapping[str, Array]
) -> dict[tuple[str, str | None], FloatArray]:
    """Run the basis graph on its inputs; the role ``bases`` holds (K, h, w)."""
    return outputs_by_role(manifest.graphs["basis"], session.run(feed))


def blend(
    manifest: PipelineSpec, bases: FloatArray, detections: Detections, attention: FloatArray
) -> FloatArray:
    """Return the (N, R, R) mask probabilities of N detections."""
    return blend_boxes(
        bases,
        detections.boxes,
        attention,
        spatial_scale=1 / manifest.blend.basis_stride,
        mask_size=manifest.blend.mask_size,
        interpolation=manifest.blend.attention_interpolation,
    )


class HostPipeline:
    """Frame in, instances out, everything but the graphs in NumPy."""

    def __init__(
        self,
        manifest: PipelineSpec,
        sessions: Mapping[Part, Session],
        *,
        attention: AttentionLayer | None,
        score_threshold: float | None,
        paste: PasteMode,
    ) -> None:
        """Put a pipeline together from open sessions; options as for :meth:`edgeblend.Segmenter.load`."""
        self._manifest = manifest
        self._sessions = sessions
        self._attention = attention
        self._score_threshold = score_threshold
        self._paste: PasteMode = paste

    def __call__(self, frame: NDArray[Any], output_size: tuple[int, int] | None) -> Instances:
        """Segment a frame.

        Args:
            frame: (H, W, 3) uint8 BGR.
            output_size: (height, width) that results are reported at; None: the frame's own.
        """
        manifest, watch = self._manifest, _Stopwatch()
        prepared = prepare(manifest, frame)
        watch.lap("preprocess")
        outputs = detect(manifest, self._sessions["detector"], detector_feed(manifest, prepared.canvas))
        watch.lap("detector")
        detections = find_detections(manifest, outputs, score_threshold=self._score_threshold)
        watch.lap("decode")
        mask_probs = self._mask_probs(detections, outputs, watch)
        height, width = frame.shape[:2] if output_size is None else output_size
        placed = place(
            detections,
            mask_probs,
            # As prepared.scale, unless results are wanted at another size than the frame's.
            scale=(width / prepared.content[1], height / prepared.content[0]),
            frame_size=(height, width),
            paste=self._paste,
        )
        watch.lap("assemble")
        return placed.instances(
            class_names=manifest.things,
            category_ids=manifest.category_ids,
            timings_ms=MappingProxyType(watch.timings_ms),
        )

    def _mask_probs(self, detections: Detections, outputs: DetectorOutputs, watch: _Stopwatch) -> FloatArray:
        """Return (N, R, R) probabilities; the basis graph does not run when N is 0."""
        manifest = self._manifest
        if len(detections) == 0:
            size = manifest.blend.mask_size
            return np.zeros((0, size, size), np.float32)
        attention = attend(manifest, outputs, detections, self._attention)
        watch.lap("attention")
        bases = compute_bases(manifest, self._sessions["basis"], basis_feed(manifest, outputs))
        watch.lap("basis")
        probs = blend(manifest, bases["bases", None], detections, attention)
        watch.lap("blend")
        return probs


class _Stopwatch:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.timings_ms[stage] = (now - self._last) * 1e3
        self._last = now
