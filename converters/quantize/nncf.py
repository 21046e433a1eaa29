"""NNCF: OpenVINO graphs to INT8."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import nncf
import numpy as np
import openvino as ov
from nncf.quantization.advanced_parameters import (
    AdvancedQuantizationParameters,
    OverflowFix,
    QuantizationParameters,
)
from nncf.quantization.algorithms.accuracy_control.algorithm import QuantizationAccuracyRestorer
from nncf.quantization.algorithms.accuracy_control.evaluator import Evaluator
from nncf.quantization.algorithms.bias_correction.algorithm import BiasCorrection
from nncf.quantization.algorithms.post_training.pipeline import create_ptq_pipeline
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from openvino._offline_transformations import compress_quantize_weights_transformation

from edgeblend.converters.exported import ExportedGraph
from edgeblend.converters.opened import OpenGraph
from edgeblend.converters.quantize.layers import (
    float_layers,
    layer_name,
    layers_in_int8,
    layers_of,
    switch_name,
    with_switches,
)
from edgeblend.converters.quantize.toolkits import SizedItems, Validate
from edgeblend.errors import ConversionError
from edgeblend.manifest import GraphSpec, Part, TensorQuantization
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.base import Array, Session, SessionInfo
from edgeblend.runtime.backends.openvino import compile_model, compiled_session, layer_precisions

__all__ = [
    "FORMATS",
    "check_recipe",
    "each_alone",
    "float_layers",
    "layer_names",
    "layers_in_int8",
    "quantize_model",
    "quantize_to_score",
    "read_model",
    "save_model",
    "tool_versions",
]

FORMATS = ("openvino-ir",)
"""Graphs that it takes."""

_PRESETS = {
    "symmetric": nncf.QuantizationPreset.PERFORMANCE,
    "asymmetric": nncf.QuantizationPreset.MIXED,
}
_RANGES = {
    "minmax": RangeEstimatorParametersSet.MINMAX,
    "mean_minmax": RangeEstimatorParametersSet.MEAN_MINMAX,
    "median_minmax": RangeEstimatorParametersSet.MEDIAN_MINMAX,
    "mean_no_outliers": RangeEstimatorParametersSet.MEAN_NO_OUTLIERS_MINMAX,
    "histogram": RangeEstimatorParametersSet.HISTOGRAM,
}
_CORRECTED_ON = 20
"""Frames that accurate bias correction looks at, spread over all: it holds a layer's inputs of each."""
_RANKED_ON = 32
"""Pictures, those that lose most, on which the search finds the layers that cost most."""


def check_recipe(recipe: Recipe) -> None:
    """Take every recipe: its fields are modelled on what NNCF offers."""
    del recipe


def read_model(files: Sequence[Path]) -> ov.Model:
    """Return a graph in float."""
    return ov.Core().read_model(files[0])


def layer_names(model: ov.Model) -> tuple[str, ...]:
    """Return the layers of a graph in the order in which they run."""
    return tuple(layers_of(model))


def quantize_model(
    model: ov.Model,
    items: SizedItems,
    recipe: Recipe,
    *,
    float_layers: Collection[str],
    arriving: Mapping[str, TensorQuantization],
) -> ov.Model:
    """Return a graph with its layers in INT8.

    Args:
        model: in float; not changed.
        items: what it is calibrated on.
        recipe: how.
        float_layers: names of layers that stay in float.
        arriving: of no use here: the graph keeps its inputs in float.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    del arriving
    quantized = _run_pipeline(model, items, recipe, float_layers)
    compress_quantize_weights_transformation(quantized)
    return quantized


@contextmanager
def each_alone(
    model: ov.Model, graph: GraphSpec, items: SizedItems, recipe: Recipe
) -> Iterator[Callable[[str], OpenGraph]]:
    """Enter to open, layer by layer, a graph with that layer alone rounded as in INT8.

    It is one graph with a switch for each layer, compiled once.

    Args:
        model: in float; not changed.
        graph: describes it.
        items: what it is calibrated on.
        recipe: how layers are rounded; those that it keeps in float are, too. Bias correction is left out.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    fake = _run_pipeline(model, items, msgspec.structs.replace(recipe, bias_correction="none"), ())
    off = {switch_name(layer): np.zeros(1, np.float32) for layer in layers_of(model)}
    session = compiled_session(compile_model(with_switches(model, fake)))

    def alone(layer: str) -> OpenGraph:
        switches = {**off, switch_name(layer): np.ones(1, np.float32)}
        return OpenGraph(graph, _Switched(session, switches))

    try:
        yield alone
    finally:
        session.close()


def _run_pipeline(
    model: ov.Model, items: SizedItems, recipe: Recipe, float_layers: Collection[str]
) -> ov.Model:
    """Do as nncf.quantize does, which leaves no say in how many frames bias correction takes."""
    with _quiet(), _as_conversion_error():
        pipeline = create_ptq_pipeline(
            preset=_PRESETS[recipe.activations],
            subset_size=len(items),
            fast_bias_correction=recipe.bias_correction == "fast",
            ignored_scope=_ignored(model, float_layers),
            advanced_parameters=_parameters(recipe),
        )
        for algorithm in pipeline.pipeline_steps[-1]:
            if isinstance(algorithm, BiasCorrection):
                algorithm.subset_size = min(len(items), _CORRECTED_ON)
        return pipeline.run(model, nncf.Dataset(_SpreadFirst(items, _CORRECTED_ON)))


def quantize_to_score(
    model: ov.Model,
    graph: GraphSpec,
    items: SizedItems,
    recipe: Recipe,
    *,
    float_layers: Collection[str],
    arriving: Mapping[str, TensorQuantization],
    pictures: int,
    validate: Validate,
    max_drop: float,
) -> ov.Model:
    """Return a graph in INT8, with the layers that cost most back in float until its score holds.

    Args:
        model: in float; not changed.
        graph: describes it.
        items: what it is calibrated on.
        recipe: how.
        float_layers: names of layers that stay in float from the start.
        arriving: of no use here: the graph keeps its inputs in float.
        pictures: how many there are to validate on.
        validate: scores a graph that is opened; scores are above -1000.
        max_drop: by how much the score may fall below the float graph's.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    del arriving
    names = set(layers_of(model))

    def score(compiled: ov.CompiledModel, chosen: tuple[int, ...] | None) -> tuple[float, list[float]]:
        precisions = layer_precisions(compiled)
        in_float = {layer_name(name) for name, value in precisions.items() if value not in ("i8", "u8")}
        return validate(OpenGraph(graph, compiled_session(compiled)), chosen, frozenset(names & in_float))

    quantized = _run_pipeline(model, items, recipe, float_layers)
    with _quiet(), _as_conversion_error():
        evaluator, dataset = _Evaluator(score), nncf.Dataset(range(pictures))
        found = QuantizationAccuracyRestorer(
            ranking_subset_size=min(pictures, _RANKED_ON),
            max_drop=max_drop,
            drop_type=nncf.DropType.ABSOLUTE,
            num_ranking_workers=1,
        ).apply(
            model,
            evaluator.collect_metric_results(model, dataset),
            quantized,
            evaluator.collect_metric_results(quantized, dataset),
            dataset,
            pictures,
            evaluator,
        )
    compress_quantize_weights_transformation(found)
    return found


def save_model(model: ov.Model, folder: Path, part: Part, graph: GraphSpec, *, half: bool) -> ExportedGraph:
    """Write a graph as OpenVINO IR: the ``.xml`` and the ``.bin`` beside it; equal graphs as equal files."""
    # OpenVINO calls a node without a name, such as Constant_841244, by how many this process has made.
    for position, node in enumerate(model.get_ordered_ops()):
        kind = node.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{kind}_{position}")
    path = folder / f"{part}.xml"
    ov.save_model(model, path, compress_to_fp16=half)
    return ExportedGraph((path, path.with_suffix(".bin")), graph.inputs, graph.outputs)


def tool_versions() -> dict[str, str]:
    """Return the versions of what quantizes."""
    return {"nncf": version("nncf")}


@dataclass(frozen=True, slots=True)
class _SpreadFirst:
    """All items, but first some that are spread over them: bias correction takes what comes first."""

    items: SizedItems
    count: int

    def __iter__(self) -> Iterator[dict[str, Array]]:
        size = len(self.items)
        positions = np.linspace(0, size - 1, min(size, self.count)).round().astype(int)
        first = set(positions.tolist())
        for wanted in (True, False):
            for position, item in enumerate(self.items):
                if (position in first) is wanted:
                    yield item

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class _Switched:
    """A session with some of its inputs set."""

    session: Session
    switches: Mapping[str, Array]

    @property
    def info(self) -> SessionInfo:
        """What the session says of itself."""
        return self.session.info

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the session."""
        return self.session.run({**inputs, **self.switches})

    def close(self) -> None:
        """Leave the session open, which others use, too."""


class _Evaluator(Evaluator):  # type: ignore[misc]  # nncf has no types
    """Scores graphs for NNCF: on all pictures, or on some to rank layers.

    Its own would try out what a score is, and compile with a core of its own for every graph.
    """

    _ABOVE_ZERO = 1000.0
    """Added to every score: NNCF divides by the float graph's."""

    def __init__(
        self, score: Callable[[ov.CompiledModel, tuple[int, ...] | None], tuple[float, list[float]]]
    ) -> None:
        super().__init__(score)
        self._score, self._metric_mode = score, True

    def prepare_model(self, model: ov.Model) -> ov.CompiledModel:
        return compile_model(model)

    def validate_prepared_model(
        self, prepared_model: ov.CompiledModel, dataset: nncf.Dataset, indices: Sequence[int] | None = None
    ) -> tuple[float, list[float]]:
        value, each = self._score(prepared_model, None if indices is None else tuple(indices))
        return value + self._ABOVE_ZERO, each


def _parameters(recipe: Recipe) -> AdvancedQuantizationParameters:
    return AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if recipe.overflow_safe else OverflowFix.DISABLE,
        disable_bias_correction=recipe.bias_correction == "none",
        weights_quantization_params=QuantizationParameters(per_channel=recipe.per_channel),
        activations_range_estimator_params=_RANGES[recipe.range_estimator],
    )


def _ignored(model: ov.Model, names: Collection[str]) -> nncf.IgnoredScope:
    layers = layers_of(model)
    return nncf.IgnoredScope(names=[node.get_friendly_name() for name in names for node in layers[name]])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep NNCF's log to errors, and its progress bars to terminals."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(sys.stderr if sys.stderr.isatty() else nowhere),
    ):
        try:
            yield
        finally:
            logger.setLevel(level)


@contextmanager
def _as_conversion_error() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, nncf.ValidationError, nncf.InternalError) as error:
        raise ConversionError(f"NNCF cannot quantize the graph: {error}") from error
