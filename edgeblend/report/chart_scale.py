"""Where values lie on a chart's axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

_TICKS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis with round ends: ``low`` lies at pixel ``left``, ``high`` at ``right``."""

    low: float
    high: float
    step: float
    left: float
    right: float

    def x(self, value: float) -> float:
        """Return where a value lies, in pixels."""
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)

    def ticks(self) -> list[tuple[float, str]]:
        """Return the round values from one end to the other, with their text."""
        digits = max(0, -math.floor(math.log10(self.step) + 1e-9))
        count = round((self.high - self.low) / self.step)
        values = [self.low + i * self.step for i in range(count + 1)]
        return [(value, f"{value + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")) for value in values]


def fit_scale(low: float, high: float, *, left: float, right: float) -> Scale:
    """Return an axis that holds zero and everything from ``low`` to ``high``."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0
    step = round_step((high - low) / _TICKS)
    return Scale(
        low=math.floor(low / step + 1e-9) * step,
        high=math.ceil(high / step - 1e-9) * step,
        step=step,
        left=left,
        right=right,
    )


def round_step(least: float) -> float:
    """Return the first of ..., 0.1, 0.2, 0.5, 1, 2, 5, 10, ... not below ``least``, which is above 0."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(float(f"{power * n:.1g}") for n in (1, 2, 5, 10) if power * n >= least * (1 - 1e-9))
