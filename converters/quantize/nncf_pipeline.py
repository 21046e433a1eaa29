"""NNCF's pipeline for graphs of any format: ranges and bias correction."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import nncf
import numpy as np
from nncf.common.logging import track_progress
from nncf.quantization.advanced_parameters import (
    AdvancedQuantizationParameters,
    OverflowFix,
    QuantizationParameters,
)
from nncf.quantization.algorithms.bias_correction.algorithm import BiasCorrection
from nncf.quantization.algorithms.post_training.pipeline import create_ptq_pipeline
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from rich.console import Console

from edgeblend.converters.process_state import logging_at, replaced
from edgeblend.converters.quantize.toolkits import SizedItems
from edgeblend.converters.third_party import one_line, third_party
from edgeblend.errors import ConversionError
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.base import Array

Model = Any
"""A graph as NNCF takes it."""

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


def run_pipeline(
    model: Model,
    items: SizedItems,
    recipe: Recipe,
    *,
    ignored: Collection[str],
    one_scale_for_activations: bool = False,
    outputs: bool = False,
) -> Model:
    """Do as nncf.quantize does, which leaves no say in how many frames bias correction takes.

    Args:
        model: in float; not changed.
        items: what it is calibrated on.
        recipe: how.
        ignored: names of the graph's nodes that stay in float.
        one_scale_for_activations: also into depthwise convolutions, which could have one a channel.
        outputs: round what the graph gives, too.

    Raises:
        ConversionError: NNCF does not take the graph.
    """
    parameters = AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if recipe.overflow_safe else OverflowFix.DISABLE,
        quantize_outputs=outputs,
        disable_bias_correction=recipe.bias_correction == "none",
        weights_quantization_params=QuantizationParameters(per_channel=recipe.per_channel),
        activations_range_estimator_params=_RANGES[recipe.range_estimator],
    )
    if one_scale_for_activations:
        parameters.activations_quantization_params = QuantizationParameters(per_channel=False)
    with _calling_nncf():
        pipeline = create_ptq_pipeline(
            preset=_PRESETS[recipe.activations],
            subset_size=len(items),
            fast_bias_correction=recipe.bias_correction == "fast",
            ignored_scope=nncf.IgnoredScope(names=list(ignored)),
            advanced_parameters=parameters,
        )
        for algorithm in pipeline.pipeline_steps[-1]:
            if isinstance(algorithm, BiasCorrection):
                algorithm.subset_size = min(len(items), _CORRECTED_ON)
        return pipeline.run(model, nncf.Dataset(_SpreadFirst(items, _CORRECTED_ON)))


def tool_versions() -> dict[str, str]:
    """Return the versions of what quantizes."""
    return {"nncf": version("nncf")}


def _refuse_not_finite(item: Mapping[str, Array], position: int) -> None:
    """Refuse values that NNCF would leave out of a range without a word."""
    for name, values in item.items():
        if count := int(np.count_nonzero(~np.isfinite(values))):
            raise ConversionError(
                f"the float graph gives nan or infinity on calibration frame {position + 1}: {count} of "
                f"{values.size} values of {name}; they have no range to quantize by. Use another checkpoint"
            )


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
                    _refuse_not_finite(item, position)
                    yield item

    def __len__(self) -> int:
        return len(self.items)


@contextmanager
def _calling_nncf() -> Iterator[None]:
    """Enter to call NNCF: one thread at a time, its log kept to errors, its bars to terminals.

    Raises:
        ConversionError: it raised something that is not ours.
    """
    bars = {name: _on_terminals(getattr(track_progress, name)) for name in ("Progress", "WeightedProgress")}
    with (
        third_party("NNCF cannot quantize the graph", _reason),
        logging_at(logging.ERROR, "nncf"),
        replaced(track_progress, **bars),
    ):
        yield


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _on_terminals(kind: Callable[..., Any]) -> Callable[..., Any]:
    """Return what makes progress bars that go to stderr, where that is a terminal, and leave stdout alone."""
    shown = sys.stderr is not None and sys.stderr.isatty()

    def make(*columns: Any, **options: Any) -> Any:  # noqa: ANN401
        own = {
            "console": Console(stderr=True),
            "disable": options["disable"] or not shown,
            "redirect_stdout": False,
            "redirect_stderr": False,
        }
        return kind(*columns, **{**options, **own})

    return make
