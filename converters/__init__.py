"""From a torch network to a bundle."""

from edgeblend.telemetry import switch_off_telemetry

switch_off_telemetry()
