"""NNCF: OpenVINO graphs to INT8."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path

import nncf
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
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.openvino import compile_model, compiled_session, layer_precisions

__all__ = [
    "FORMATS",
    "float_layers",
    "layer_names",
    "layers_in_int8",
    "quantize_model",
    "quantize_to_fake",
    "quantize_to_score",
    "read_model",
    "save_model",
    "tool_versions",
    "switch_name",
    "with_switches",
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
"""Frames that accurate bias correction looks at: it holds a layer's inputs of all of them at a time."""
_RANKED_ON = 32
"""Pictures, those that lose most, on which the search finds the layers that cost most."""


def read_model(files: Sequence[Path]) -> ov.Model:
    """Return a graph in float."""
    return ov.Core().read_model(files[0])


def layer_names(model: ov.Model) -> tuple[str, ...]:
    """Return the layers of a graph in the order in which they run."""
    return tuple(layers_of(model))


def quantize_model(
    model: ov.Model, items: SizedItems, recipe: Recipe, *, float_layers: Collection[str]
) -> ov.Model:
    """Return a graph with its layers in INT8.

    Args:
        model: in float; not changed.
        items: what it is calibrated on.
        recipe: how.
        float_layers: names of layers that stay in float.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    quantized = _run_pipeline(model, items, recipe, float_layers)
    compress_quantize_weights_transformation(quantized)
    return quantized


def quantize_to_fake(model: ov.Model, items: SizedItems, recipe: Recipe) -> ov.Model:
    """Return a graph with all its layers rounded as in INT8; weights stay floats, rounded when it runs.

    Args:
        model: in float; not changed.
        items: what it is calibrated on.
        recipe: how; the layers that it keeps in float are rounded, too.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    return _run_pipeline(model, items, recipe, ())


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
        return pipeline.run(model, nncf.Dataset(items))


def quantize_to_score(
    model: ov.Model,
    items: SizedItems,
    recipe: Recipe,
    *,
    float_layers: Collection[str],
    pictures: int,
    validate: Validate,
    max_drop: float,
) -> ov.Model:
    """Return a graph in INT8, with the layers that cost most back in float until its score holds.

    Args:
        model: in float; not changed.
        items: what it is calibrated on.
        recipe: how.
        float_layers: names of layers that stay in float from the start.
        pictures: how many there are to validate on.
        validate: scores a graph that is opened; scores are above -1000.
        max_drop: by how much the score may fall below the float graph's.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    names = set(layers_of(model))

    def score(compiled: ov.CompiledModel, chosen: tuple[int, ...] | None) -> tuple[float, list[float]]:
        precisions = layer_precisions(compiled)
        in_float = {layer_name(name) for name, value in precisions.items() if value not in ("i8", "u8")}
        return validate(compiled_session(compiled), chosen, frozenset(names & in_float))

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


def save_model(model: ov.Model, path: Path, *, half: bool) -> tuple[Path, ...]:
    """Write a graph as OpenVINO IR: the ``.xml`` and the ``.bin`` beside it; equal graphs as equal files."""
    # OpenVINO calls a node without a name, such as Constant_841244, by how many this process has made.
    for position, node in enumerate(model.get_ordered_ops()):
        kind = node.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{kind}_{position}")
    ov.save_model(model, path, compress_to_fp16=half)
    return path, path.with_suffix(".bin")


def tool_versions() -> dict[str, str]:
    """Return the versions of what quantizes."""
    return {"nncf": version("nncf")}


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
