"""One file for each engine."""

from edgeblend.processes.telemetry import switch_off_telemetry

switch_off_telemetry()
