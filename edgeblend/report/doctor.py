"""What this machine has for edgeblend: packages, engines, devices."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeblend import __version__
from edgeblend.calibration.measuring.machine import usable_cores
from edgeblend.runtime.backends.processor import processor_name
from edgeblend.terminal.printing import aligned_pairs
from edgeblend.terminal.requirements import RequiredPackage, required_packages


def doctor_lines(report: Mapping[str, Any]) -> list[str]:
    """Return what :func:`diagnose` found as lines for a terminal."""
    lines = aligned_pairs((key, str(value)) for key, value in report["machine"].items())
    packages = ((found.name, _state(found)) for found in required_packages())
    lines += ["", "packages", *aligned_pairs(packages, indent=2), "", "engines"]
    for name, engine in report["engines"].items():
        lines += _engine_lines(name, engine)
    return lines


def _engine_lines(name: str, engine: Mapping[str, Any]) -> list[str]:
    if "error" in engine:
        return [f"  {name}: {engine['error']}"]
    devices = (
        (device["device"], f"{device['name']} ({', '.join(device['precisions'])})")
        for device in engine["devices"]
    )
    return [f"  {name} {engine['version']}", *aligned_pairs(devices, indent=4)]


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
