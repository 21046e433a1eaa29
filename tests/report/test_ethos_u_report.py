"""How the report of a compilation for an Ethos-U reads."""

from __future__ import annotations

import dataclasses
import json

import msgspec
import pytest

pytest.importorskip("ethosu.vela")
pytest.importorskip("ai_edge_litert")

from edgeblend.converters.ethos_u.vela_report import EthosUReport, GraphReport, OperatorReport
from edgeblend.report.ethos_u import ethos_u_figures, ethos_u_lines


def operator(index: int, kind: str, macs: int, *, reason: str | None = None) -> OperatorReport:
    return OperatorReport(
        index=index,
        kind=kind,
        name=f"/{kind.lower()}_{index}",
        layer="tower.0" if macs else None,
        shape=(1, 40, 40, 64),
        macs=macs,
        on_npu=reason is None,
        reason=reason,
        cycles=1000 if reason is None else None,
    )


def report_of(*operators: OperatorReport) -> EthosUReport:
    graph = GraphReport(
        part="basis",
        operators=operators,
        cycles=2_500_000,
        seconds=0.0025,
        memory={"SRAM": 384_000, "DRAM": 1_500_000},
        vela_macs=3_000_000,
    )
    return EthosUReport("5.2.0", "ethos-u65-256", "Board", "Shared", 1e9, 393_216, (graph,))


CONV = operator(0, "CONV_2D", 2_999_000)
LEFT = operator(1, "CONV_2D", 1_000, reason="stride too large")
RESIZE = operator(2, "RESIZE_BILINEAR", 0, reason="unsupported scale-factor=4")


def test_everything_on_the_npu() -> None:
    lines = ethos_u_lines(report_of(CONV, operator(1, "ADD", 0)))
    assert lines[0] == "ethos-u65-256 at 1000 MHz, Board, Shared (Vela 5.2.0)"
    assert lines[3].split() == [
        *("basis", "2", "100.0%", "3.0", "M", "100.0%", "2.50", "ms,", "400.0/s"),
        *("384.0", "kB", "1.5", "MB"),
    ]
    assert lines[-1] == "every operator is on the NPU"


def test_what_stays_on_the_cpu_is_named_with_its_reason() -> None:
    lines = ethos_u_lines(report_of(CONV, LEFT, RESIZE))
    assert lines[-3:] == [
        "2 operators on the CPU:",
        "  basis CONV_2D tower.0 (1x40x40x64, 0.001 M MACs): stride too large",
        "  basis RESIZE_BILINEAR /resize_bilinear_2 (1x40x40x64): unsupported scale-factor=4",
    ]
    # 2999 of 3000: not all, so not 100%.
    assert "99.9%" in lines[3] and "100.0%" not in lines[3]


def test_a_graph_without_macs_has_no_share() -> None:
    lines = ethos_u_lines(report_of(RESIZE))
    assert lines[3].split()[:6] == ["basis", "1", "0.0%", "0.0", "M", "-"]


def test_a_graph_that_vela_has_no_time_for() -> None:
    report = report_of(RESIZE)
    idle = dataclasses.replace(
        report, graphs=(dataclasses.replace(report.graphs[0], seconds=0.0, memory={}),)
    )
    lines = ethos_u_lines(idle)
    assert "0.00 ms" in lines[3] and "/s" not in lines[3]


def test_figures_for_programs() -> None:
    figures = ethos_u_figures(report_of(CONV, LEFT, RESIZE))
    document = json.loads(msgspec.json.encode(figures))
    basis = document["graphs"]["basis"]
    assert basis["npu_share_of_macs"] == pytest.approx(2999 / 3000)
    assert (basis["operators"], basis["npu_operators"]) == (3, 1)
    assert basis["by_operator"][2]["reason"] == "unsupported scale-factor=4"
    assert basis["memory_bytes"] == {"SRAM": 384_000, "DRAM": 1_500_000}
    assert (
        json.loads(msgspec.json.encode(ethos_u_figures(report_of(RESIZE))))["graphs"]["basis"][
            "npu_share_of_macs"
        ]
        is None
    )
