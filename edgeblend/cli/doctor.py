"""``edgeblend doctor``: which engines, devices and versions this machine has."""

from __future__ import annotations

import argparse

from edgeblend.report.doctor import diagnose, doctor_lines
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import print_json


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        parents=[common],
        help="show the engines, devices and versions of this machine",
        description="Show the engines, devices and packages of this machine, and the needed versions.",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Look around and print what is there."""
    report = diagnose()
    if args.json:
        print_json(report)
        return 0
    for line in doctor_lines(report):
        show(line)
    return 0
