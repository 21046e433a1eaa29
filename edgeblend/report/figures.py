"""Figures as text."""

from __future__ import annotations

import math

MISSING = "-"


def decimals(value: float | None, digits: int = 2) -> str:
    """Return a figure with so many decimals; what was not measured is a dash."""
    return MISSING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """Return a change with its sign; exactly 0 has none, so that it differs from what rounds to it."""
    if math.isnan(value):
        return MISSING
    return f"{abs(value):.{digits}f}" if value == 0 else f"{value:+.{digits}f}"


def decibels(value: float) -> str:
    """Return a ratio in decibels, in words where it is infinite."""
    if math.isinf(value):
        return "exact" if value > 0 else "not finite"
    return f"{value:.1f}"


def counted(count: int, noun: str) -> str:
    """Return such as ``1 picture`` or ``2 pictures``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
