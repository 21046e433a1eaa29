"""An INT8 TFLite bundle for Arm's Ethos-U: its graphs compiled by Vela, and a report of what runs where.

A compiled graph is a TFLite file whose operators are one or several of the kind ``ethos-u``, each the command
stream for a part of the graph, and whatever the NPU does not take, for the CPU beside it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeblend.arguments.callbacks import Say, callback
from edgeblend.arguments.checks import check_flag, check_path
from edgeblend.bundle import Bundle, check_output, describe_file, stage_bundle
from edgeblend.converters.ethos_u.vela import (
    DEFAULT_ACCELERATOR,
    Strategy,
    VelaOptions,
    check_options,
    compile_tflite,
    vela_version,
)
from edgeblend.converters.ethos_u.vela_report import EthosUReport, GraphReport, graph_report
from edgeblend.converters.tflite.operators import TfliteGraph, read_tflite
from edgeblend.errors import ConversionError, InputError
from edgeblend.files import paths
from edgeblend.files.temporary import temporary_folder
from edgeblend.manifest import MANIFEST_NAME, GraphSpec, Manifest, Part, encode_manifest
from edgeblend.processes.third_party_warnings import warnings_are_no_errors

TARGET = "ethos-u"
FORMAT = "tflite-ethos-u"
SOURCE_TARGET = "tflite"
SOURCE_FORMAT = "tflite"


@warnings_are_no_errors()
def convert_for_ethos_u(
    bundle: str | Path | Bundle,
    out: str | Path,
    *,
    accelerator: str = DEFAULT_ACCELERATOR,
    system_config: str | None = None,
    memory_mode: str | None = None,
    config: str | Path | None = None,
    arena_cache_size: int | None = None,
    optimise: Strategy = "Performance",
    overwrite: bool = False,
    progress: Say | None = None,
) -> tuple[Bundle, EthosUReport]:
    """Compile the graphs of an INT8 TFLite bundle for an Ethos-U.

    The compiled graphs run on the NPU alone, so unlike a conversion this does not verify their outputs; the
    manifest's figures are those of the bundle that was compiled.

    Args:
        bundle: of target ``tflite``, both graphs in INT8.
        out: folder, or ``.zip`` file, to make.
        accelerator: such as ``ethos-u55-128``, as Vela calls it; another name is refused with the list.
        system_config: clock and memories, a section of ``config``; None takes Vela's for the accelerator.
        memory_mode: what lies in which memory, a section of ``config``; None takes Vela's.
        config: Vela's ``.ini`` file of the system; None takes the one that comes with Vela.
        arena_cache_size: bytes of SRAM that Vela may count on; None takes the memory mode's.
        optimise: for ``Performance`` within that SRAM, or for ``Size``, the least SRAM.
        overwrite: replace a bundle that is already at ``out``.
        progress: called with a few words before each step; what it raises ends the conversion.

    Returns:
        The bundle, read back from ``out``, and the report.

    Raises:
        InputError: the bundle is not an INT8 TFLite one, or an option is unknown.
        BundleError, OutputError: see their messages.
        ConversionError: Vela does not take a graph; nothing is left at ``out``.
    """
    say = callback("progress", progress)
    options = VelaOptions(
        accelerator=accelerator,
        system_config=system_config,
        memory_mode=memory_mode,
        config=None if config is None else check_path("config", config),
        arena_cache_size=arena_cache_size,
        optimise=optimise,
    )
    check_options(options)
    check_flag("overwrite", overwrite)
    out = check_path("out", out)
    source = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    _check_source(source, out)
    check_output(out, overwrite=overwrite)
    with stage_bundle(out, overwrite=overwrite) as folder:
        compiled = [_compile_part(source, part, folder, options, say) for part in source.manifest.graphs]
        report = _report(compiled, options)
        manifest = _manifest(source.manifest, compiled, report)
        if manifest.attention.file is not None:
            shutil.copyfile(source.file(manifest.attention.file), folder / manifest.attention.file.name)
        (folder / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return Bundle.load(out), report


@dataclass(frozen=True, slots=True)
class _Compiled:
    """One graph, compiled."""

    part: Part
    spec: GraphSpec
    report: GraphReport
    summary: dict[str, str]


def _check_source(source: Bundle, out: Path) -> None:
    manifest = source.manifest
    if paths.exists(out) and out.resolve() == source.path.resolve():
        raise InputError(f"{out}: is the bundle that would be compiled; choose another name")
    if manifest.target == TARGET:
        raise InputError(
            f"{source.path}: is compiled already; give the INT8 TFLite bundle that it was made from"
        )
    if manifest.target != SOURCE_TARGET:
        raise InputError(
            f"{source.path}: expected a bundle of target {SOURCE_TARGET!r}, this is for {manifest.target!r}; "
            f"convert the checkpoint with `--target {SOURCE_TARGET}` and quantize it"
        )
    for part, graph in manifest.graphs.items():
        if graph.format != SOURCE_FORMAT or graph.precision != "int8":
            raise InputError(
                f"{source.path}: an Ethos-U computes in integers: expected both graphs in int8, the {part} "
                f"graph is {graph.precision} {graph.format}; quantize it with `edgeblend quantize`"
            )


def _compile_part(source: Bundle, part: Part, folder: Path, options: VelaOptions, say: Say) -> _Compiled:
    say(f"compiling the {part} graph for {options.accelerator}")
    (file,) = source.graph_files(part)
    before = read_tflite(file)
    with temporary_folder(str(file)) as work:
        output = compile_tflite(file, Path(work), options)
        after = read_tflite(output.model)
        _check_interface(part, before, after)
        report = graph_report(part, before, after, output)
        target = folder / f"{part}.tflite"
        shutil.copyfile(output.model, target)
    spec = msgspec.structs.replace(source.graph(part), format=FORMAT, files=(describe_file(target),))
    return _Compiled(part, spec, report, output.summary)


def _check_interface(part: Part, before: TfliteGraph, after: TfliteGraph) -> None:
    """The manifest's tensors are those of the source: Vela must not rename, reorder or retype them."""
    changed = [
        which
        for which in ("inputs", "outputs", "signature")
        if getattr(before, which) != getattr(after, which)
    ]
    if changed:
        raise ConversionError(
            f"Vela changed the {' and '.join(changed)} of the {part} graph, so the manifest would not fit; "
            'install the version that `pip install "edgeblend[ethos-u]"` brings'
        )


def _report(compiled: list[_Compiled], options: VelaOptions) -> EthosUReport:
    summary = compiled[0].summary
    return EthosUReport(
        vela=vela_version(),
        accelerator=options.accelerator,
        system_config=summary["system_config"],
        memory_mode=summary["memory_mode"],
        clock_hz=float(summary["core_clock"]),
        arena_cache_size=round(float(summary["arena_cache_size"]) * 1024),
        graphs=tuple(graph.report for graph in compiled),
    )


def _manifest(source: Manifest, compiled: list[_Compiled], report: EthosUReport) -> Manifest:
    made_for = f"{report.accelerator}, {report.system_config}, {report.memory_mode}"
    return msgspec.structs.replace(
        source,
        target=TARGET,
        graphs={graph.part: graph.spec for graph in compiled},
        tools={**source.tools, "ethos-u-vela": f"{report.vela} for {made_for}"},
    )
