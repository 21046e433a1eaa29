"""``bench``'s report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from edgeblend.report.bench.tables import as_size, latency_table, start_table, streaming_table
from edgeblend.report.engines import Ran, engine_facts, machine_fact
from edgeblend.report.tables import aligned_groups, fitted
from edgeblend.terminal.printing import aligned, as_text, wrapped

if TYPE_CHECKING:
    from edgeblend.calibration.bench.report import BenchReport

_WIDTH = 100
"""Letters of an explanation's line."""
_ABREAST = 3
"""Number of bundles beside each other in 100 columns."""
_NAME_LETTERS = 24
"""Letters of a bundle's name at the beginning of a row of 100 columns."""


def report_lines(report: BenchReport, written: Iterable[Path] = ()) -> list[str]:
    """Return all of the report for a terminal, with the files that it was also written to."""
    return [
        *(line for fact in facts(report) for line in wrapped(fact, _WIDTH)),
        "",
        *map(as_text, terminal_lines(report)),
        "",
        *(line for text in explanations(report) for line in wrapped(text, _WIDTH)),
        *(f"\nwritten: {as_text(path)}" for path in written),
    ]


def facts(report: BenchReport) -> list[str]:
    """Return what ran on what and where, one fact per line."""
    ran = [Ran(bundle.name, bundle.sessions, bundle.options) for bundle in report.bundles]
    return [
        f"frames: {_frames(report)}",
        *(f"note: {note}" for note in report.notes),
        machine_fact(report.machine, report.features),
        *engine_facts(ran),
    ]


def terminal_lines(report: BenchReport) -> list[str]:
    """Return the tables as lines; explanations come apart, see :func:`explanations`."""
    bundles = report.bundles
    blocks = [
        aligned_groups(latency_table(bundles[start : start + _ABREAST]))
        for start in range(0, len(bundles), _ABREAST)
    ]
    for table in (streaming_table(report), start_table(report)):
        rows = [(fitted(name, _NAME_LETTERS), *cells) for name, *cells in table.rows]
        blocks.append(aligned([table.headings, *rows]))
    return [line for number, block in enumerate(blocks) for line in ([""] if number else []) + block]


def explanations(report: BenchReport) -> list[str]:
    """Return what the figures mean, some sentences each."""
    return [
        "ms: milliseconds of one frame at a time, from an image in memory to its instances. p90 and p99: 90 "
        "and 99 of 100 frames took no longer. Of fewer than 100 frames, p99 is close to the slowest one. "
        "Bundles take turns in one run. The first frame of a turn is not timed. blend includes RoIAlign.",
        "graphs alone: the same sessions on inputs that were prepared before: the detector, and the basis "
        "graph where the frame has detections. They run in turns right before or right after a whole frame. "
        "whole / graphs is the median of the ratios of these pairs.",
        "rle: instances.rle(), the further cost of masks. It grows with the detections and with the size of "
        "the frame. decode, attention and blend also grow with the detections.",
        "streaming: segmenter.stream, with as many frames in flight as the table says. It takes turns with "
        "the graphs alone in as many threads. Figures are medians over the rounds.",
        "found: the median number of detections per frame. load s: seconds from a running interpreter to an "
        "open segmenter in a process of its own, which imports the engine, verifies files and compiles "
        "graphs. first s: seconds to the instances of the first frame. memory: peak of this process, "
        "interpreter and engine included. size: sum of the bundle's files.",
    ]


def _frames(report: BenchReport) -> str:
    sizes = list(dict.fromkeys(size for bundle in report.bundles for size in bundle.frame_sizes))
    few = ", ".join(as_size(size) for size in sizes[:3])
    shown = few if len(sizes) <= 3 else f"{few} and {len(sizes) - 3} more sizes"
    threshold = "" if report.score_threshold is None else f", scores of at least {report.score_threshold:g}"
    taken = "" if report.num_frames == 1 else f" ({report.num_frames} taken)"
    return f"{report.frames}{taken}, {shown}{threshold}"
