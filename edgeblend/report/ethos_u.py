"""How the report of a compilation for an Ethos-U reads: as text, and as figures for programs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgeblend.report.figures import MISSING, counted
from edgeblend.terminal.printing import aligned, human_bytes

if TYPE_CHECKING:
    from edgeblend.converters.ethos_u.vela_report import EthosUReport, GraphReport, OperatorReport

_HEAD = ("", "operators", "on the NPU", "MACs", "on the NPU", "estimated", "SRAM", "elsewhere")


def ethos_u_lines(report: EthosUReport) -> list[str]:
    """Return the report as lines: one row per graph, then every operator on the CPU with its reason."""
    whole = sum(graph.seconds for graph in report.graphs)
    lines = [
        f"{report.accelerator} at {report.clock_hz / 1e6:.0f} MHz, {report.system_config}, "
        f"{report.memory_mode} (Vela {report.vela})",
        "",
        *aligned([_HEAD, *(_row(graph) for graph in report.graphs)]),
        "",
        f"both graphs {_milliseconds(whole)}; Vela's estimates, without what stays on the CPU",
    ]
    left = [(graph, operator) for graph in report.graphs for operator in graph.left_on_cpu]
    if not left:
        return [*lines, "every operator is on the NPU"]
    return [
        *lines,
        "",
        f"{counted(len(left), 'operator')} on the CPU:",
        *(f"  {_on_cpu(graph, op)}" for graph, op in left),
    ]


def ethos_u_figures(report: EthosUReport) -> dict[str, Any]:
    """Return the report for JSON: with shares, which are null where there is nothing to share."""
    return {
        "vela": report.vela,
        "accelerator": report.accelerator,
        "system_config": report.system_config,
        "memory_mode": report.memory_mode,
        "clock_hz": report.clock_hz,
        "arena_cache_bytes": report.arena_cache_size,
        "graphs": {graph.part: _figures(graph) for graph in report.graphs},
    }


def _figures(graph: GraphReport) -> dict[str, Any]:
    return {
        "operators": len(graph.operators),
        "npu_operators": graph.npu_operators,
        "macs": graph.macs,
        "npu_macs": graph.npu_macs,
        "npu_share_of_macs": None if math.isnan(graph.npu_share) else graph.npu_share,
        "vela_macs": graph.vela_macs,
        "estimated_cycles": graph.cycles,
        "estimated_seconds": graph.seconds,
        "memory_bytes": graph.memory,
        "by_operator": graph.operators,
    }


def _row(graph: GraphReport) -> tuple[str, ...]:
    elsewhere = sum(used for memory, used in graph.memory.items() if memory != "SRAM")
    return (
        graph.part,
        str(len(graph.operators)),
        _percent(graph.npu_operators / len(graph.operators)),
        f"{graph.macs / 1e6:.1f} M",
        _percent(graph.npu_share),
        _milliseconds(graph.seconds),
        human_bytes(graph.memory.get("SRAM", 0)),
        human_bytes(elsewhere),
    )


def _on_cpu(graph: GraphReport, operator: OperatorReport) -> str:
    shape = "x".join(str(side) for side in operator.shape)
    macs = f", {operator.macs / 1e6:.3g} M MACs" if operator.macs else ""
    return (
        f"{graph.part} {operator.kind} {operator.layer or operator.name} ({shape}{macs}): {operator.reason}"
    )


def _percent(share: float) -> str:
    if math.isnan(share):
        return MISSING
    return f"{math.floor(share * 1000) / 10:.1f}%"  # rounded down: 100% is said of all alone


def _milliseconds(seconds: float) -> str:
    rate = f", {1 / seconds:.1f}/s" if seconds else ""
    return f"{seconds * 1e3:.2f} ms{rate}"
