"""Charts as inline SVG, for pages that load nothing from elsewhere.

Colours are classes of :mod:`edgeblend.report.html`, so that a chart follows its page into the dark:
``s0`` is the reference's, ``s1`` and on are the candidates'.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from edgeblend.report.chart_scale import Scale, fit_scale

SERIES = 7
"""Number of colours; after the last one the candidates' begin again."""

_WIDTH = 760
_ROW, _BAR, _GAP = 22, 14, 12  # heights in pixels: a row, the bar in it, between groups of rows
_TOP, _BOTTOM = 4, 44
_LETTER = 6.7  # about the width of one at 12 pixels
_LABEL_LETTERS = 28

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One value of one series."""

    series: int
    value: float
    text: str = ""
    """Text beside the mark."""
    title: str = ""
    """Text that shows when the mark is pointed at."""


@dataclass(frozen=True, slots=True)
class Row:
    """A label, and the marks that belong to it."""

    label: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeBar:
    """A time, the part of it that is accounted for, and what nine of ten stay below."""

    series: int
    label: str
    whole: float
    part: float
    p90: float
    text: str


@dataclass(frozen=True, slots=True)
class StackedBar:
    """Times one after the other."""

    label: str
    parts: tuple[Mark, ...]
    text: str
    line: float | None = None
    """A value to draw a line at, across the bar."""


def legend(names: Mapping[int, str]) -> str:
    """Return the names of series, each with its colour."""
    keys = (
        f'<span><i class="{series_class(series)}"></i>{escape(name)}</span>' for series, name in names.items()
    )
    return f'<p class="legend">{"".join(keys)}</p>\n'


def series_class(series: int) -> str:
    """Return the class of a series's colour."""
    return f"s{series if series < SERIES else 1 + (series - 1) % (SERIES - 1)}"


def bars(rows: Sequence[Row], *, axis: str) -> str:
    """Return bars from zero to the right: a group per row, a bar per mark; nan has no bar."""
    values = [mark.value for row in rows for mark in row.marks if math.isfinite(mark.value)]
    left = _label_width(rows)
    scale = fit_scale(0, max(values, default=0), left=left, right=_WIDTH - _text_width(rows))
    parts, y = [], float(_TOP)
    for row in rows:
        parts.append(_label(row.label, left, y + _ROW * len(row.marks) / 2))
        for mark in row.marks:
            end = scale.x(mark.value) if math.isfinite(mark.value) else scale.left
            if math.isfinite(mark.value):
                parts.append(_bar(series_class(mark.series), scale.left, end, y, mark.title))
            parts.append(_text(mark.text, end + 6, y + _ROW / 2))
            y += _ROW
        y += _GAP
    return _chart(parts, scale, y - _GAP, axis)


def changes(rows: Sequence[Row], *, axis: str) -> str:
    """Return bars from zero to both sides, one mark per row; a row without a mark is a remark."""
    values = [mark.value for row in rows for mark in row.marks]
    left, texts = _label_width(rows), _text_width(rows)
    scale = fit_scale(
        min(values, default=0),
        max(values, default=0),
        left=left + (texts if min(values, default=0) < 0 else 0),
        right=_WIDTH - (texts if max(values, default=0) >= 0 else 8),
    )
    parts, y = [], float(_TOP)
    for row in rows:
        parts.append(_label(row.label, left, y + _ROW / 2))
        for mark in row.marks:
            x, zero = scale.x(mark.value), scale.x(0)
            lost = mark.value < 0
            parts.append(_bar("loss" if lost else "gain", min(x, zero), max(x, zero), y, mark.title))
            parts.append(_text(mark.text, x - 6 if lost else x + 6, y + _ROW / 2, "end" if lost else "start"))
        y += _ROW
    return _chart(parts, scale, y, axis)


def dots(rows: Sequence[Row], *, axis: str, beyond: str) -> str:
    """Return a line per row with a dot per mark; infinite ones are in a column of their own, ``beyond``.

    What is infinitely negative has no dot.
    """
    values = [mark.value for row in rows for mark in row.marks if math.isfinite(mark.value)]
    infinite = any(mark.value == math.inf for row in rows for mark in row.marks)
    left, column = _label_width(rows), _WIDTH - 32
    scale = fit_scale(
        min(values, default=0), max(values, default=0), left=left, right=_WIDTH - (84 if infinite else 24)
    )
    parts, y = [], float(_TOP)
    for row in rows:
        middle = y + _ROW / 2
        parts.append(_label(row.label, left, middle))
        parts.append(f'<path class="rule" d="M{scale.left:.1f} {middle}H{scale.right:.1f}"/>')
        for mark in row.marks:
            if mark.value > -math.inf:
                x = scale.x(mark.value) if math.isfinite(mark.value) else column
                told = f"<title>{escape(mark.title)}</title>"
                shape = f'class="{series_class(mark.series)}" cx="{x:.1f}" cy="{middle}" r="5"'
                parts.append(f"<circle {shape}>{told}</circle>")
        y += _ROW
    if infinite:
        parts.append(_text(beyond, column, y + 16, "middle", "soft"))
    return _chart(parts, scale, y, axis)


def times(rows: Sequence[TimeBar], *, axis: str) -> str:
    """Return a bar per time: the whole, the part within it, and a whisker to the 90th percentile."""
    labels = [Row(row.label, (Mark(row.series, row.whole, row.text),)) for row in rows]
    left = _label_width(labels)
    highest = max((max(row.whole, row.p90) for row in rows), default=0)
    scale = fit_scale(0, highest, left=left, right=_WIDTH - _text_width(labels))
    parts, y = [], float(_TOP)
    for row in rows:
        middle, kind = y + _ROW / 2, series_class(row.series)
        whole, part, p90 = (scale.x(value) for value in (row.whole, row.part, row.p90))
        whisker = f"M{whole:.1f} {middle}H{p90:.1f}M{p90:.1f} {middle - 4}V{middle + 4}"
        parts += [
            _label(row.label, left, middle),
            _bar(f"{kind} pale", scale.left, whole, y),
            _bar(kind, scale.left, part, y),
            f'<path class="whisker" d="{whisker}"/>',
            _text(row.text, max(whole, p90) + 8, middle),
        ]
        y += _ROW + _GAP / 2
    return _chart(parts, scale, y, axis)


def stacked(rows: Sequence[StackedBar], *, axis: str) -> str:
    """Return a bar per row, which stacks the row's parts from zero on."""
    labels = [Row(row.label, (Mark(0, 0, row.text),)) for row in rows]
    left = _label_width(labels)
    wholes = [sum(part.value for part in row.parts) for row in rows]
    highest = max((max(whole, row.line or 0) for row, whole in zip(rows, wholes, strict=True)), default=0)
    scale = fit_scale(0, highest, left=left, right=_WIDTH - _text_width(labels))
    parts, y = [], float(_TOP)
    for row, whole in zip(rows, wholes, strict=True):
        middle, start = y + _ROW / 2, 0.0
        parts.append(_label(row.label, left, middle))
        for part in row.parts:
            end = start + part.value
            if part.value > 0:
                parts.append(_bar(series_class(part.series), scale.x(start), scale.x(end), y, part.title))
            start = end
        if row.line is not None:
            parts.append(f'<path class="whisker" d="M{scale.x(row.line):.1f} {y}V{y + _ROW}"/>')
        parts.append(_text(row.text, scale.x(max(whole, row.line or 0)) + 8, middle))
        y += _ROW + _GAP / 2
    return _chart(parts, scale, y, axis)


def _chart(parts: Iterable[str], scale: Scale, bottom: float, axis: str) -> str:
    lines = []
    for value, text in scale.ticks():
        x = scale.x(value)
        kind = "zero" if abs(value) < scale.step / 2 else "grid"
        lines.append(f'<path class="{kind}" d="M{x:.1f} {_TOP}V{bottom:.1f}"/>')
        lines.append(_text(text, x, bottom + 16, "middle", "soft"))
    lines.append(_text(axis, (scale.left + scale.right) / 2, bottom + 36, "middle", "soft"))
    height = round(bottom + _BOTTOM)
    return (
        f'<div class="scroll"><svg class="chart" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" '
        f'aria-label="{escape(axis)}">{"".join(lines)}{"".join(parts)}</svg></div>\n'
    )


def _bar(kind: str, start: float, end: float, y: float, title: str = "") -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    place = f'x="{start:.1f}" y="{y + (_ROW - _BAR) / 2}" width="{max(end - start, 0.5):.1f}" height="{_BAR}"'
    return f'<rect class="{kind}" {place} rx="2">{told}</rect>'


def _label(text: str, right: float, middle: float) -> str:
    shown = text if len(text) <= _LABEL_LETTERS else f"{text[: _LABEL_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
    told = f"<title>{escape(text)}</title>" if shown != text else ""
    return f'<text x="{right - 10:.1f}" y="{middle}" text-anchor="end">{escape(shown)}{told}</text>'


def _text(text: str, x: float, middle: float, anchor: Anchor = "start", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{middle:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _label_width(rows: Iterable[Row]) -> float:
    return _LETTER * max((min(len(row.label), _LABEL_LETTERS) for row in rows), default=0) + 20


def _text_width(rows: Iterable[Row]) -> float:
    return _LETTER * max((len(mark.text) for row in rows for mark in row.marks), default=0) + 16
