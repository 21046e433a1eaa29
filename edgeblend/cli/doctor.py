"""``edgeblend doctor``: which engines, devices and versions this machine has."""

from __future__ import annotations

import argparse
import platform
from dataclasses import asdict
from typing import Any

from edgeblend import __version__
from edgeblend.calibration.measuring.machine import usable_cores
from edgeblend.runtime.backends.processor import processor_name
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import print_json, print_rows
from edgeblend.terminal.requirements import RequiredPackage, required_packages


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        parents=[common],
        help="show the engines, devices and versions of this machine",
        description="Show which engines, devices and package versions this machine has, and needs.",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Look around and print what is there."""
    report = diagnose()
    if args.json:
        print_json(report)
        return 0
    machine = report["machine"]
    print_rows([(key, str(value)) for key, value in machine.items()])
    show("\npackages")
    print_rows([(found.name, _state(found)) for found in required_packages()], indent=2)
    show("\nengines")
    for name, engine in report["engines"].items():
        if "error" in engine:
            show(f"  {name}: {engine['error']}")
            continue
        show(f"  {name} {engine['version']}")
        print_rows(
            [
                (device["device"], f"{device['name']} ({', '.join(device['precisions'])})")
                for device in engine["devices"]
            ],
            indent=4,
        )
    return 0


def diagnose() -> dict[str, Any]:
    """Return the machine, the packages and the engines; what is missing says how to get it."""
    required = required_packages()
    return {
        "machine": {
            "edgeblend": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "processor": processor_name(),
            "cpus": usable_cores(),
        },
        "packages": {found.name: found.installed for found in required},
        "requirements": {found.name: asdict(found) for found in required},
        "engines": {name: _engine(name) for name in _engine_names()},
    }


def _engine_names() -> tuple[str, ...]:
    from edgeblend.runtime.backends.registry import backend_names

    return backend_names()


def _engine(name: str) -> dict[str, Any]:
    from edgeblend.errors import EngineError, MissingPackageError
    from edgeblend.runtime.backends.registry import load_backend

    try:
        return asdict(load_backend(name).engine_info())
    except (EngineError, MissingPackageError) as error:
        return {"error": str(error)}
    except Exception as error:  # a broken driver can raise anything; the other engines still show
        return {"error": f"fails: {type(error).__name__}: {' '.join(str(error).split())}"}


def _state(package: RequiredPackage) -> str:
    """Return what is there of a package, and what is wrong with it."""
    if package.installed is None:
        extras = ", ".join(package.extras)
        return f"not installed, for {extras}" if extras else "not installed"
    if package.satisfied is False:
        return f"{package.installed}, but edgeblend needs {package.needs}"
    return f"{package.installed} ({package.needs})" if package.needs else package.installed
