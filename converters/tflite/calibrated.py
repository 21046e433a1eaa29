"""A TFLite graph in float with the ranges that calibration found, quantized in part or whole."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from ai_edge_quantizer import quantizer

from edgeblend.converters.quantize.toolkits import SizedItems
from edgeblend.converters.tflite.model_file import (
    END,
    Model,
    give_ends,
    group_norm_operators,
    is_integer,
    layer_name,
    operators,
    read_file,
    set_quantization,
    take_ends,
    tensor_index,
    tensor_name,
    to_bytes,
    with_what_is_between,
)
from edgeblend.converters.tflite.precision import quantizing
from edgeblend.converters.tflite.ranges import ESTIMATORS, Range, measure_statistics
from edgeblend.converters.tflite.weights import correct_biases, input_scale, weight_limits
from edgeblend.manifest import TensorQuantization
from edgeblend.recipe import Recipe

_IMAGE, _BYTES = "image", (0.0, 255.0)
"""The image's range makes a step of exactly 1 and the zero point -128: a camera's byte less 128 is stored."""

Rule = dict[str, Any]
"""Which operators are quantized how, as AI Edge Quantizer takes it."""


class CalibratedGraph:
    """Calibrated once, to be quantized again and again."""

    def __init__(self, model: bytes, items: SizedItems, recipe: Recipe) -> None:
        self._model, self._recipe = model, recipe
        self._statistics = measure_statistics(model, items)
        estimate = ESTIMATORS[recipe.range_estimator]
        self._ranges: dict[str, Range] = {name: estimate(held) for name, held in self._statistics.items()}
        content = read_file(model)
        self._layers = {
            tensor_name(content, operator.outputs[0]): layer
            for _, operator in operators(content)
            if (layer := layer_name(content, operator)) is not None
        }

    def quantized(self, kept: Collection[str], arriving: Mapping[str, TensorQuantization]) -> bytes:
        """Return the whole graph in INT8, but for layers that are kept in float, and group norms.

        Args:
            kept: names of layers.
            arriving: how inputs come as integers, by name.

        Raises:
            ConversionError: the quantizer does not take the graph.
        """
        content = read_file(self._model)
        in_float = {tensor_name(content, operator.outputs[0]) for operator in group_norm_operators(content)}
        in_float |= {name for name, layer in self._layers.items() if layer in kept}
        in_float = with_what_is_between(content, in_float)
        rules = [self._static(), *(_not_at_all(name) for name in sorted(in_float))]
        rules += [_not_at_all(f"{END}{name}") for name in sorted(in_float)]
        made = self._run(content, rules, kept, arriving)
        for name, quantization in arriving.items():
            index = tensor_index(made, name)
            if is_integer(made, index):
                # The same numbers but for the last bit, which would make it another tensor.
                set_quantization(made, index, quantization.scale, quantization.zero_point)
        return to_bytes(made)

    def alone(self, layer: str) -> bytes:
        """Return the graph with one layer in INT8; it takes float, and gives float but where that layer ends.

        Raises:
            ConversionError: the quantizer does not take the graph.
        """
        outputs = [name for name, of in self._layers.items() if of == layer]
        rules = [self._static(f"{start}{name}") for name in outputs for start in ("", END)]
        others = set(self._layers.values()) - {layer}
        return to_bytes(self._run(read_file(self._model), rules, others, {}))

    def _run(
        self,
        content: Model,
        rules: list[Rule],
        kept: Collection[str],
        arriving: Mapping[str, TensorQuantization],
    ) -> Model:
        ranges = {**self._ranges, **_forced(self._ranges, arriving)}
        limits = weight_limits(
            content,
            {name: input_scale(span) for name, span in ranges.items()},
            per_channel=self._recipe.per_channel,
            safe=self._recipe.overflow_safe,
        )
        if self._recipe.bias_correction == "fast":
            correct_biases(content, self._statistics, limits, kept)
        known = {name: _as_known(*span) for name, span in ranges.items()}
        known |= {name: {"min": -limit, "max": limit} for name, limit in limits.items()}
        # Where an output is in other precision than what it comes from or also goes to, the quantizer wires
        # conversions to the wrong consumers (0.10): it is shown a graph without outputs.
        ends = take_ends(content)
        known |= {f"{END}{name}": known[name] for name in ends.outputs}
        with quantizing("AI Edge Quantizer cannot quantize the graph"):
            job = quantizer.Quantizer(to_bytes(content), rules)
            made = read_file(job.quantize(known, enable_progress_report=False).quantized_model)
        give_ends(made, ends)
        return made

    def _static(self, output: str | None = None) -> Rule:
        """Return the rule that puts operators in INT8: all, or the one that gives a tensor."""
        granularity = "CHANNELWISE" if self._recipe.per_channel else "TENSORWISE"
        return {
            "regex": ".*" if output is None else _scope(output),
            "operation": "*",
            "algorithm_key": "min_max_uniform_quantize",
            "op_config": {
                "activation_tensor_config": {"num_bits": 8, "symmetric": False, "granularity": "TENSORWISE"},
                "weight_tensor_config": {"num_bits": 8, "symmetric": True, "granularity": granularity},
                "compute_precision": "INTEGER",
                "explicit_dequantize": False,
            },
        }


def _not_at_all(output: str) -> Rule:
    """Return the rule that leaves the operator which gives a tensor in float."""
    return {"regex": _scope(output), "operation": "*", "algorithm_key": "no_quantize"}


def _scope(output: str) -> str:
    """Return the pattern of what the quantizer calls the operator that gives a tensor."""
    return f"^{re.escape(output)};"


def _forced(ranges: Mapping[str, Range], arriving: Mapping[str, TensorQuantization]) -> dict[str, Range]:
    """Return the ranges of inputs that calibration has no say in."""
    forced = {_IMAGE: _BYTES} if _IMAGE in ranges else {}
    for name, quantization in arriving.items():
        low, high = (quantization.scale * (level - quantization.zero_point) for level in (-128, 127))
        forced[name] = (low, high)
    return forced


def _as_known(low: float, high: float) -> dict[str, Any]:
    return {"min": np.full((1, 1, 1, 1), low, np.float32), "max": np.full((1, 1, 1, 1), high, np.float32)}
