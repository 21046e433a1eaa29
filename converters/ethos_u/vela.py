"""Arm's Vela as a process of its own: an INT8 TFLite graph in, one for an Ethos-U and what Vela says out.

Vela's Python interface is internal, and it prints and exits as it likes; its command line is documented. What
it says of a graph lies in three places: the summary (CSV), the debug database (CSV in XML), and the warnings
that it prints.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ethosu.vela import __version__
from ethosu.vela.architecture_features import Accelerator

from edgeblend.arguments.checks import MOST, check_text, check_whole
from edgeblend.arguments.choices import check_choice
from edgeblend.errors import ConversionError, InputError, OutputError
from edgeblend.files import paths
from edgeblend.files.write_errors import disk_failure
from edgeblend.processes.child_process import run_module

Strategy = Literal["Performance", "Size"]

DEFAULT_ACCELERATOR = "ethos-u65-256"
"""The NPU of NXP's i.MX 93, the Ethos-U that runs beside Linux."""

_WARNING = re.compile(
    r"^Warning \(supported operators\) operator: (?P<kind>.*), ofm: '(?P<name>.*)'\n"
    r"Reason: (?P<reason>.*)$",
    re.MULTILINE,
)
_ARENA_IGNORED = "--arena-cache-size is ignored"
"""What Vela says where only the memory mode, which it reads, could have told."""
_TABLE = re.compile(r'<table name="(?P<name>\w+)">\s*<!\[CDATA\[\n(?P<rows>.*?)\]\]>', re.DOTALL)
_ON_CPU = "Passthrough"
"""What Vela calls an operator that it leaves as it is, for the CPU."""


@dataclass(frozen=True, slots=True)
class VelaOptions:
    """For which system Vela compiles; None leaves a choice to Vela, whose report says what it took."""

    accelerator: str = DEFAULT_ACCELERATOR
    system_config: str | None = None
    """A section of the configuration file: clock and memories, such as ``Ethos_U65_High_End``."""
    memory_mode: str | None = None
    """A section of the configuration file: what lies in which memory, such as ``Dedicated_Sram_384KB``."""
    config: Path | None = None
    """Vela's ``.ini`` file of the system; None takes the one that comes with Vela."""
    arena_cache_size: int | None = None
    """Bytes of SRAM that Vela may count on."""
    optimise: Strategy = "Performance"


@dataclass(frozen=True, slots=True)
class VelaOutput:
    """What Vela made of one graph."""

    model: Path
    summary: dict[str, str]
    """Column to value; times in seconds, memory in KiB."""
    on_cpu: frozenset[int]
    """Operators of the source that stay on the CPU, by their place in its file."""
    cycles: dict[int, int]
    """Estimated cycles of each operator of the source that has its own work on the NPU."""
    reasons: dict[str, str]
    """Why an operator is not on the NPU, by the name of its output."""


def accelerators() -> tuple[str, ...]:
    """Return the accelerators that the installed Vela compiles for."""
    return tuple(Accelerator.member_list())


def vela_version() -> str:
    """Return the version of Vela."""
    return str(__version__)


def check_options(options: VelaOptions) -> None:
    """Refuse what Vela would refuse after a traceback.

    Raises:
        InputError: an unknown accelerator, or a configuration file that is not there or names nothing.
    """
    for name in ("system_config", "memory_mode"):
        if getattr(options, name) is not None:
            check_text(name, getattr(options, name))
    if check_text("accelerator", options.accelerator) not in accelerators():
        raise InputError(
            f"unknown accelerator {options.accelerator!r}; Vela {vela_version()} compiles for "
            f"{', '.join(accelerators())}"
        )
    check_choice("optimise", options.optimise, get_args(Strategy))
    if options.config is not None and not paths.is_file(options.config):
        raise InputError(f"{options.config}: no such file; expected Vela's .ini file of the system")
    if options.config is not None and not (options.system_config and options.memory_mode):
        raise InputError(
            f"{options.config}: Vela needs the names of the sections to take from it: "
            "give both a system config and a memory mode"
        )
    if options.arena_cache_size is not None:
        check_whole("arena_cache_size", options.arena_cache_size, 1, MOST)


def compile_tflite(source: Path, folder: Path, options: VelaOptions) -> VelaOutput:
    """Compile one graph.

    Args:
        source: an INT8 ``.tflite`` file.
        folder: an empty folder for what Vela writes.
        options: for which system.

    Raises:
        ConversionError: Vela fails on the graph, or reports in another way than it is known to.
        OutputError: the temporary folder is full.
    """
    log = _run(source, folder, options)
    if _ARENA_IGNORED in log:
        raise ConversionError(
            "arena_cache_size: Vela ignores it with optimise='Size' in this memory mode, whose SRAM is no "
            "cache; leave it out, or optimise for 'Performance'"
        )
    try:
        (summary,) = folder.glob("*_summary_*.csv")
        tables = _tables((folder / f"{source.stem}_debug.xml").read_text(encoding="utf-8"))
        on_cpu, cycles = _placement(tables)
        return VelaOutput(
            model=folder / f"{source.stem}_vela.tflite",
            summary=_summary(summary.read_text(encoding="utf-8")),
            on_cpu=on_cpu,
            cycles=cycles,
            reasons={found["name"]: found["reason"] for found in _WARNING.finditer(log)},
        )
    except (OSError, KeyError, ValueError) as error:
        raise ConversionError(
            f"Vela {vela_version()} reports on {source.name} in a form that is not known here ({error}); "
            'install the version that `pip install "edgeblend[ethos-u]"` brings'
        ) from error


def _run(source: Path, folder: Path, options: VelaOptions) -> str:
    wanted = {
        "--accelerator-config": options.accelerator,
        "--system-config": options.system_config,
        "--memory-mode": options.memory_mode,
        "--config": options.config and options.config.resolve(),
        "--arena-cache-size": options.arena_cache_size,
        "--optimise": options.optimise,
        "--output-dir": folder.resolve(),
    }
    arguments = [
        str(part) for option, value in wanted.items() if value is not None for part in (option, value)
    ]
    try:
        done = run_module("ethosu.vela", [str(source.resolve()), "--enable-debug-db", *arguments], cwd=folder)
    except TimeoutError as error:
        raise ConversionError(f"Vela, compiling {source.name} for {options.accelerator}, {error}") from None
    except OSError as error:
        raise ConversionError(f"Vela cannot be started: {error}") from error
    if done.returncode != 0:
        failure = ConversionError(
            f"Vela cannot compile {source.name} for {options.accelerator}: {_last_words(done.stderr)}"
        )
        if reason := disk_failure(failure, folder):
            raise OutputError(
                f"{folder.parent}: Vela cannot write its files: {reason}; make room, or set TMPDIR to a "
                "folder with more"
            ) from failure
        raise failure
    return done.stdout


def _last_words(stderr: str) -> str:
    """Return the last line of a traceback without the name of the error's class."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if not lines:
        return "it says nothing"
    return re.sub(r"^([\w.]+: )?'?(Error: )?", "", lines[-1]).rstrip("'")


def _summary(text: str) -> dict[str, str]:
    (row,) = csv.DictReader(text.splitlines())
    return row


def _tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Return the rows of each table of the debug database."""
    return {
        table["name"]: list(csv.DictReader(table["rows"].splitlines())) for table in _TABLE.finditer(text)
    }


def _placement(tables: dict[str, list[dict[str, str]]]) -> tuple[frozenset[int], dict[int, int]]:
    """Return the operators on the CPU, and the cycles of those on the NPU, by their place in the source."""
    places = {row["id"]: int(row["ext_key"]) for row in tables["source"]}
    on_cpu = set()
    cycles: dict[int, int] = {}
    for row in tables["perf"]:
        place = places[row["source_id"]]
        if row["operator"] == _ON_CPU:
            on_cpu.add(place)
        else:
            cycles[place] = cycles.get(place, 0) + int(row["op_cycles"])
    return frozenset(on_cpu), cycles
