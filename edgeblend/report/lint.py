"""What an Intel NPU would refuse of a bundle, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeblend.report.figures import counted

if TYPE_CHECKING:
    from edgeblend.converters.openvino.npu_lint import NpuLint


def lint_lines(lint: NpuLint) -> list[str]:
    """Return the operations of each graph, the findings and the notes, one per line."""
    operations = [
        f"{part}: {counted(sum(found.values()), 'operation')} of {counted(len(found), 'type')}"
        for part, found in lint.operations.items()
    ]
    findings = [
        f"{finding.severity}: {finding.graph} {finding.operation} {finding.name}: {finding.reason}"
        for finding in lint.findings
    ]
    nothing = ["nothing that an Intel NPU is known to refuse"]
    return [*operations, *(findings or nothing), *(f"note: {note}" for note in lint.notes)]
