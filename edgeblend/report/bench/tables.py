"""What ``bench`` measured, as tables of text: for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from edgeblend.report.engines import computed_in
from edgeblend.report.figures import MISSING, decimals
from edgeblend.report.tables import GroupedTable, Table
from edgeblend.terminal.printing import human_bytes

if TYPE_CHECKING:
    from edgeblend.calibration.bench.report import BenchedBundle, BenchReport, Times

_PERCENTILES = ("median", "p90", "p99")
_STREAMING = ("frames/s", "graphs alone", "of graphs alone", "streams", "in flight")
_START = ("computes in", "canvas", "frame", "found", "load s", "first s", "memory", "size")


def latency_table(bundles: Sequence[BenchedBundle]) -> GroupedTable:
    """Return the time of every stage, of whole frames and of the graphs alone, one group per bundle."""
    figures = [bundle.latency for bundle in bundles]
    times = {stage: [item.stages[stage] for item in figures] for stage in figures[0].stages}
    times["whole frame"] = [item.frame for item in figures]
    times["graphs alone"] = [item.graphs for item in figures]
    rows = [(name, *_flat(map(_cells, values))) for name, values in times.items()]
    rows.append(("whole / graphs", *_flat((f"{item.over_graphs:.2f}x", "", "") for item in figures)))
    rows.append(("rle, on top", *_flat(_cells(item.rle) for item in figures)))
    rows.append(("frames timed", *_flat((str(item.frames), "", "") for item in figures)))
    return GroupedTable(
        groups=tuple(bundle.name for bundle in bundles),
        headings=("ms", *_PERCENTILES * len(bundles)),
        rows=tuple(rows),
    )


def streaming_table(report: BenchReport) -> Table:
    """Return frames per second of streams and of their graphs alone, one row per bundle."""
    rows = []
    for bundle in report.bundles:
        item = bundle.streaming
        rates = (decimals(item.frames_per_second, 1), decimals(item.graphs_per_second, 1))
        counts = (str(item.streams), str(item.in_flight))
        rows.append((bundle.name, *rates, f"{100 * item.of_graphs:.0f}%", *counts))
    return Table(("streaming", *_STREAMING), tuple(rows))


def start_table(report: BenchReport) -> Table:
    """Return what runs on what, and what its start takes, one row per bundle."""
    rows = []
    for bundle in report.bundles:
        sizes = (as_size(bundle.canvas) if bundle.canvas else "dynamic", _sizes(bundle.frame_sizes))
        start = bundle.start
        memory = MISSING if start.peak_memory is None else human_bytes(start.peak_memory)
        seconds = (decimals(start.load_s), decimals(start.first_result_s))
        found = (f"{bundle.detections:g}", *seconds, memory, human_bytes(bundle.bytes))
        rows.append((bundle.name, computed_in(bundle.sessions), *sizes, *found))
    return Table(("start", *_START), tuple(rows))


def as_size(size: tuple[int, int]) -> str:
    """Return (height, width) such as ``512x736``."""
    return f"{size[0]}x{size[1]}"


def _cells(times: Times) -> tuple[str, ...]:
    return tuple(decimals(getattr(times, name)) for name in _PERCENTILES)


def _sizes(sizes: Sequence[tuple[int, int]]) -> str:
    return as_size(sizes[0]) if len(sizes) == 1 else f"{len(sizes)} sizes"


def _flat(groups: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for group in groups:
        yield from group
