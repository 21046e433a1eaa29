"""One file for each engine."""

from edgeblend.telemetry import switch_off_telemetry

switch_off_telemetry()
