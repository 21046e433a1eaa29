"""How much noise a candidate's graphs add to each of their outputs: signal to quantization noise in dB."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.recording import OutputKey
from edgeblend.manifest import Part


@dataclass(frozen=True, slots=True)
class OutputSqnr:
    """One output of one graph, over all frames."""

    graph: Part
    role: str
    level: str | None
    db: float
    """10 dB more is a tenth of the noise's power. inf where every value is equal; -inf where not all are
    finite."""

    @property
    def name(self) -> str:
        """Such as ``cls_logits p3``."""
        return f"{self.role} {self.level}" if self.level else self.role


class SqnrTally:
    """Takes the outputs of frame after frame; sums are float64.

    What only one side has, or has in another size (a bundle with another canvas), is left out.
    """

    def __init__(self) -> None:
        self._signal: dict[OutputKey, float] = {}
        self._noise: dict[OutputKey, float] = {}

    def add(
        self,
        reference: Mapping[OutputKey, NDArray[np.float32]],
        candidate: Mapping[OutputKey, NDArray[np.float32]],
    ) -> None:
        """Take one frame's outputs of both."""
        for key, expected in reference.items():
            actual = candidate.get(key)
            if actual is not None and actual.shape == expected.shape:
                wanted = expected.astype(np.float64)
                self._signal[key] = self._signal.get(key, 0.0) + _power(wanted)
                self._noise[key] = self._noise.get(key, 0.0) + _power(wanted - actual)

    def outputs(self) -> tuple[OutputSqnr, ...]:
        """Return each output's ratio, in the order in which they came."""
        return tuple(OutputSqnr(*key, sqnr_db(self._signal[key], self._noise[key])) for key in self._signal)


def sqnr_db(signal: float, noise: float) -> float:
    """Return 10 * log10(signal / noise), both sums of squares.

    inf without any noise; -inf without a signal, or where one of them is not finite.
    """
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return -math.inf
    if noise == 0:
        return math.inf
    if signal == 0:
        return -math.inf
    return 10 * math.log10(signal / noise)


def _power(values: NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore", over="ignore"):  # sqnr_db says what is not finite
        return float(np.square(values).sum())
