"""``edgeblend inspect``: what is in a bundle or a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeblend.bundle import Bundle
from edgeblend.errors import InputError, MissingPackageError
from edgeblend.files import paths
from edgeblend.report.figures import counted
from edgeblend.terminal.exit_codes import FINDING
from edgeblend.terminal.notes import Notes
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import human_bytes, print_json, print_rows
from edgeblend.zipped import is_zipped_bundle

if TYPE_CHECKING:
    from edgeblend.manifest import GraphSpec, Manifest


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "inspect",
        parents=[common],
        help="show what is in a bundle or a checkpoint",
        description="Verify a bundle and show what is in it, or show what a checkpoint holds.",
    )
    parser.add_argument("path", type=Path, help="bundle (folder or .zip), or checkpoint (.pth, .safetensors)")
    parser.add_argument(
        "--lint",
        choices=("npu",),
        help="look for what an Intel NPU would refuse of an openvino bundle (exit code 12 if something)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Tell a bundle from a checkpoint and show it."""
    path: Path = args.path
    if not paths.exists(path):
        raise InputError(f"{path}: no such file or folder")
    if paths.is_dir(path) or path.suffix == ".zip" or is_zipped_bundle(path):
        bundle = _read_bundle(path)
        if args.lint is not None:
            return _lint(bundle, as_json=args.json)
        _show_bundle(bundle, as_json=args.json)
    elif args.lint is not None:
        raise InputError(f"{path}: --lint looks through bundles, this is none; convert the checkpoint first")
    else:
        _show_checkpoint(path, as_json=args.json)
    return 0


def _read_bundle(path: Path) -> Bundle:
    """Read a bundle with every check that needs no engine."""
    from edgeblend.runtime.attention import load_attention

    bundle = Bundle.load(path)
    if bundle.manifest.attention.file is not None:
        load_attention(bundle.file(bundle.manifest.attention.file), bundle.manifest.blend)
    return bundle


def _lint(bundle: Bundle, *, as_json: bool) -> int:
    """Show what an Intel NPU would refuse; an exit code of its own if there is something."""
    import edgeblend

    lint = edgeblend.lint_for_npu(bundle)
    if as_json:
        print_json({"path": str(bundle.path), "refused": lint.refused, "lint": lint})
        return FINDING if lint.refused else 0
    for part, operations in lint.operations.items():
        show(
            f"{part}: {counted(sum(operations.values()), 'operation')} of {counted(len(operations), 'type')}"
        )
    for finding in lint.findings:
        show(f"{finding.severity}: {finding.graph} {finding.operation} {finding.name}: {finding.reason}")
    if not lint.findings:
        show("nothing that an Intel NPU is known to refuse")
    for note in lint.notes:
        show(f"note: {note}")
    return FINDING if lint.refused else 0


def _show_bundle(bundle: Bundle, *, as_json: bool) -> None:
    manifest = bundle.manifest
    if as_json:
        print_json({"kind": "bundle", "path": str(bundle.path), "manifest": manifest})
        return
    spec = manifest.input
    canvas = (
        f"follows the frame: short side {spec.min_size}, long side at most {spec.max_size}"
        if spec.dynamic
        else f"{spec.height} x {spec.width} (height x width)"
    )
    checked = manifest.verification
    worst = max((error.max_error for error in checked.tensors), default=0.0)
    print_rows(
        [
            ("bundle", f"{bundle.path}, all files verified"),
            ("source", f"{manifest.source.checkpoint} as {manifest.source.config}"),
            ("checkpoint", f"sha256 {manifest.source.checkpoint_sha256}"),
            ("target", manifest.target),
            ("canvas", canvas),
            ("classes", _class_summary(manifest.things, manifest.stuff)),
            *_category_ids(manifest),
            *(("assumed", note) for note in manifest.notes),
            (
                "levels",
                ", ".join(f"{level.name} (stride {level.stride})" for level in manifest.decode.levels),
            ),
            ("attention", manifest.attention.mode),
            (
                "verified",
                f"{'in float, ' if manifest.quantization else ''}"
                f"outputs within {worst:g} standard deviations of torch "
                f"(allowed {checked.tolerance.max_error:g}), "
                f"{checked.matched} of {checked.detections} detections agree",
            ),
            ("tools", ", ".join(f"{name} {found}" for name, found in manifest.tools.items())),
        ]
    )
    if manifest.quantization is not None:
        from edgeblend.cli.quantize import quantization_rows

        show("\nquantized")
        print_rows(quantization_rows(manifest.quantization), indent=2)
    for part, graph in manifest.graphs.items():
        _show_graph(part, graph)


def _class_summary(things: tuple[str, ...], stuff: tuple[str, ...]) -> str:
    shown = ", ".join(things[:5]) + (", ..." if len(things) > 5 else "")
    more = f", and {len(stuff)} of stuff" if stuff else ""
    return f"{len(things)} ({shown}){more}"


def _category_ids(manifest: Manifest) -> list[tuple[str, str]]:
    """Return a row with the category ids, unless they are 1 to the number of classes."""
    ids = manifest.category_ids
    if ids == tuple(range(1, len(ids) + 1)):
        return []
    shown = ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")
    return [("category ids", shown)]


def _show_graph(part: str, graph: GraphSpec) -> None:
    size = human_bytes(sum(file.size for file in graph.files))
    show(f"\n{part}: {graph.format}, weights {graph.precision}, {size}")
    tensors = [(f"in   {spec.name}", f"{spec.layout} {spec.dtype}") for spec in graph.inputs]
    tensors += [(f"out  {spec.name}", f"{spec.layout} {spec.dtype}") for spec in graph.outputs]
    print_rows(tensors, indent=2)


def _show_checkpoint(path: Path, *, as_json: bool) -> None:
    try:
        from edgeblend.model.checkpoints.read import checkpoint_digest, matching_configs, read_checkpoint
    except ModuleNotFoundError as error:
        raise MissingPackageError.for_task("reading a checkpoint", error.name, extra="convert") from error
    state = read_checkpoint(path)
    configs = matching_configs(state)
    report: dict[str, Any] = {
        "kind": "checkpoint",
        "path": str(path),
        "sha256": checkpoint_digest(path),
        "parameters": sum(tensor.numel() for tensor in state.values()),
        "configs": list(configs),
        "tensors": {name: list(tensor.shape) for name, tensor in state.items()},
        "notes": Notes(state.notes).lines,
    }
    if as_json:
        print_json(report)
        return
    print_rows(
        [
            ("checkpoint", f"{path} ({human_bytes(path.stat().st_size)})"),
            ("sha256", report["sha256"]),
            ("holds", f"{len(state)} tensors, {report['parameters'] / 1e6:.1f} million values"),
            (
                "fits",
                ", ".join(configs) or "no published config; convert it with the YAML it was trained with",
            ),
        ]
    )
