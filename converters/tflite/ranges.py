"""What the tensors of a TFLite graph in float hold, over calibration frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgeblend.converters.process_state import without_warnings_of
from edgeblend.converters.quantize.toolkits import SizedItems
from edgeblend.converters.tflite.model_file import constant, read_file, tensor_name
from edgeblend.converters.third_party import as_conversion_error, third_party
from edgeblend.errors import ConversionError
from edgeblend.runtime.backends.base import Array

_THREADS = 2

Range = tuple[float, float]
_Frame = tuple[np.float32, np.float32, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """Of one tensor that is computed, over all frames."""

    lowest: NDArray[np.float32]
    """(frames,): of each frame."""
    highest: NDArray[np.float32]
    mean: NDArray[np.float32]
    """(C,): of each channel, the last axis."""


Statistics = dict[str, TensorStatistics]

ESTIMATORS: dict[str, Callable[[TensorStatistics], Range]] = {
    "minmax": lambda tensor: (float(tensor.lowest.min()), float(tensor.highest.max())),
    "mean_minmax": lambda tensor: (float(tensor.lowest.mean()), float(tensor.highest.mean())),
    "median_minmax": lambda tensor: (float(np.median(tensor.lowest)), float(np.median(tensor.highest))),
}
"""A recipe's ``range_estimator`` to how a tensor's range follows from those of single frames."""


def measure_statistics(content: bytes, items: SizedItems) -> Statistics:
    """Run a graph on calibration items, one at a time, and return what its tensors hold, by name.

    Args:
        content: of a TFLite file in float.
        items: inputs by name.

    Raises:
        ConversionError: TFLite does not run it, or a tensor holds values that are not finite.
    """
    with (
        third_party("TFLite cannot run the graph"),
        without_warnings_of("ai_edge_litert"),  # that keeping all tensors takes memory
    ):
        interpreter = Interpreter(
            model_content=content, num_threads=_THREADS, experimental_preserve_all_tensors=True
        )
        interpreter.allocate_tensors()
    inputs = {entry["name"]: entry["index"] for entry in interpreter.get_input_details()}
    computed = _computed(content)
    tally: dict[str, list[_Frame]] = {name: [] for name in computed}
    for number, item in enumerate(items, 1):
        with as_conversion_error("TFLite cannot run the graph"):
            for name, value in item.items():
                interpreter.set_tensor(inputs[name], value)
            interpreter.invoke()
        for name, index in computed.items():
            values: Array = interpreter.get_tensor(index)
            lowest, highest = values.min(), values.max()
            if not (np.isfinite(lowest) and np.isfinite(highest)):
                raise ConversionError(_no_range(name, number, values))
            mean = values.mean(axis=tuple(range(values.ndim - 1)))
            tally[name].append((lowest, highest, mean))
    return {
        name: TensorStatistics(
            lowest=np.array([low for low, _, _ in frames], np.float32),
            highest=np.array([high for _, high, _ in frames], np.float32),
            mean=np.mean([mean for _, _, mean in frames], axis=0),
        )
        for name, frames in tally.items()
    }


def _no_range(name: str, number: int, values: Array) -> str:
    count = int(np.count_nonzero(~np.isfinite(values)))
    return (
        f"the float graph gives nan or infinity on calibration frame {number}: {count} of {values.size} "
        f"values of tensor {name}; they have no range to quantize by. Use another checkpoint"
    )


def _computed(content: bytes) -> dict[str, int]:
    """Return the float tensors that a graph takes or computes."""
    model = read_file(content)
    return {
        tensor_name(model, index): index
        for index in range(len(model.subgraphs[0].tensors))
        if constant(model, index) is None
    }
