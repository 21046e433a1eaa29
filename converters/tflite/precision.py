"""The weights of a TFLite graph in float, stored in fewer bits."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from edgeblend.converters.process_state import logging_at, replaced, without_warnings_of
from edgeblend.converters.third_party import third_party
from edgeblend.manifest import GraphPrecision

_ROUNDED = {
    "fp16": {
        "algorithm_key": "float_casting",
        "op_config": {
            "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"},
            "compute_precision": "FLOAT",
            "explicit_dequantize": True,
        },
    },
    "int8-dynamic": {
        "algorithm_key": "min_max_uniform_quantize",
        "op_config": {
            "weight_tensor_config": {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE"},
            "compute_precision": "INTEGER",
            "explicit_dequantize": False,
        },
    },
}
"""How AI Edge Quantizer rounds weights, for each precision that is not the network's own."""


def round_weights(content: bytes, precision: GraphPrecision) -> bytes:
    """Return a graph in float with its weights stored in a precision; ``fp32`` leaves them as they are."""
    if precision not in _ROUNDED:
        return content
    from ai_edge_quantizer import quantizer  # not needed for fp32

    recipe = [
        {"regex": ".*", "operation": operation, **_ROUNDED[precision]}
        for operation in ("CONV_2D", "DEPTHWISE_CONV_2D")
    ]
    with quantizing(f"AI Edge Quantizer cannot store the weights as {precision}"):
        made = quantizer.Quantizer(content, recipe).quantize(enable_progress_report=False)
        return bytes(made.quantized_model)


@contextlib.contextmanager
def quantizing(what: str) -> Iterator[None]:
    """Enter to call AI Edge Quantizer: one thread at a time, without its bars and its log.

    Args:
        what: whatever it raises is told as.

    Raises:
        ConversionError: it raised something.
    """
    from ai_edge_quantizer import model_modifier
    from ai_edge_quantizer.transformations import quantize_tensor
    from ai_edge_quantizer.utils import progress_utils

    bar, logger = progress_utils.ProgressBar, logging.getLogger("ai_edge_quantizer")

    def hidden_bar(*given: Any, **options: Any) -> Any:  # noqa: ANN401
        return bar(*given, **{**options, "enable": False})

    with (
        third_party(what),
        replaced(progress_utils, ProgressBar=hidden_bar),  # no option reaches all of them (0.10)
        # Functions of `logging` would give the root logger a handler where it has none.
        replaced(model_modifier, logging=logger),
        replaced(quantize_tensor, logging=logger),
        logging_at(logging.ERROR, "absl", logger.name),
        without_warnings_of("ai_edge_quantizer", "ai_edge_litert"),
    ):
        yield
