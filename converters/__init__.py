"""From a torch network to a bundle."""

from edgeblend.processes.telemetry import switch_off_telemetry

switch_off_telemetry()
