"""What of a graph runs on an Ethos-U, what does not and why, and how long it takes by Vela's estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeblend.converters.ethos_u.vela import VelaOutput
from edgeblend.converters.tflite.operators import TfliteGraph
from edgeblend.errors import ConversionError
from edgeblend.manifest import Part

NPU_KERNEL = "ethos-u"
"""The custom operator that stands for everything Vela compiled into one command stream."""

_KIB = 1024
_MEMORIES = {
    "SRAM": "sram",
    "DRAM": "dram",
    "on-chip flash": "on_chip_flash",
    "off-chip flash": "off_chip_flash",
}


@dataclass(frozen=True, slots=True)
class OperatorReport:
    """Where one operator of the INT8 graph runs."""

    index: int
    kind: str
    """Such as ``CONV_2D``."""
    name: str
    """Of its output."""
    layer: str | None
    """The checkpoint's name of the layer that it is; None for what has no weights there."""
    shape: tuple[int, ...]
    """Of its output."""
    macs: int
    on_npu: bool
    reason: str | None
    """Why not, in Vela's words; None for an operator on the NPU."""
    cycles: int | None
    """Vela's estimate; None on the CPU, and for what is part of another operator's work."""


@dataclass(frozen=True, slots=True)
class GraphReport:
    """One graph."""

    part: Part
    operators: tuple[OperatorReport, ...]
    cycles: int
    """Of one inference by Vela's estimate, without the operators on the CPU."""
    seconds: float
    memory: dict[str, int]
    """Peak use in bytes by the name of the memory; what is not used is not in it."""
    vela_macs: int
    """Vela's own count: of the NPU alone, with those that it adds, such as for resizing."""

    @property
    def npu_operators(self) -> int:
        """How many operators run on the NPU."""
        return sum(operator.on_npu for operator in self.operators)

    @property
    def macs(self) -> int:
        """Of all operators, wherever they run."""
        return sum(operator.macs for operator in self.operators)

    @property
    def npu_macs(self) -> int:
        """Of the operators on the NPU."""
        return sum(operator.macs for operator in self.operators if operator.on_npu)

    @property
    def npu_share(self) -> float:
        """Share of the MACs that run on the NPU, 0 to 1; nan without any."""
        return self.npu_macs / self.macs if self.macs else math.nan

    @property
    def left_on_cpu(self) -> tuple[OperatorReport, ...]:
        """The operators that do not run on the NPU."""
        return tuple(operator for operator in self.operators if not operator.on_npu)


@dataclass(frozen=True, slots=True)
class EthosUReport:
    """What Vela says of a bundle. Its times are estimates of a compiler, not measurements."""

    vela: str
    """Version."""
    accelerator: str
    system_config: str
    memory_mode: str
    clock_hz: float
    arena_cache_size: int
    """Bytes of SRAM that Vela counted on."""
    graphs: tuple[GraphReport, ...]


def graph_report(part: Part, source: TfliteGraph, compiled: TfliteGraph, vela: VelaOutput) -> GraphReport:
    """Return where each operator of ``source`` runs.

    Raises:
        ConversionError: Vela's report does not fit the file that it wrote.
    """
    _check_placement(part, source, compiled, vela)
    operators = tuple(
        OperatorReport(
            index=operator.index,
            kind=operator.kind,
            name=operator.name,
            layer=operator.layer,
            shape=operator.shape,
            macs=operator.macs,
            on_npu=operator.index not in vela.on_cpu,
            reason=_reason(operator.name, vela) if operator.index in vela.on_cpu else None,
            cycles=vela.cycles.get(operator.index),
        )
        for operator in source.operators
    )
    return GraphReport(
        part=part,
        operators=operators,
        cycles=int(float(vela.summary["cycles_total"])),
        seconds=float(vela.summary["inference_time"]),
        memory={
            name: round(used * _KIB)
            for name, column in _MEMORIES.items()
            if (used := float(vela.summary[f"{column}_memory_used"]))
        },
        vela_macs=int(float(vela.summary["nn_macs"])),
    )


def _reason(name: str, vela: VelaOutput) -> str:
    return vela.reasons.get(name, "Vela gives no reason")


def _check_placement(part: Part, source: TfliteGraph, compiled: TfliteGraph, vela: VelaOutput) -> None:
    """Hold Vela's report against the file, in which everything that is not the NPU's is on the CPU."""
    reported = sorted(operator.name for operator in source.operators if operator.index in vela.on_cpu)
    remaining = sorted(operator.name for operator in compiled.operators if operator.kind != NPU_KERNEL)
    if reported != remaining:
        raise ConversionError(
            f"Vela's report on the {part} graph does not fit its file: it names {len(reported)} operators on "
            f"the CPU, the file has {len(remaining)}; the figures of this version cannot be trusted"
        )
