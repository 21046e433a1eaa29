"""The weights of a TFLite graph in float, stored in fewer bits."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

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
    with quiet():
        made = quantizer.Quantizer(content, recipe).quantize(enable_progress_report=False)
    return bytes(made.quantized_model)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what converts and quantizes from logging, warning and drawing bars; errors are raised."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
