"""``edgeblend inspect``: what is in a bundle or a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeblend.bundle import Bundle
from edgeblend.errors import InputError, MissingPackageError
from edgeblend.files import paths
from edgeblend.terminal.exit_codes import FINDING
from edgeblend.terminal.notes import Notes
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import print_json, print_rows
from edgeblend.zipped import is_zipped_bundle


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "inspect",
        parents=[common],
        help="show the contents of a bundle or a checkpoint",
        description="Verify a bundle and show its contents, or show the contents of a checkpoint.",
    )
    parser.add_argument("path", type=Path, help="bundle (folder or .zip), or checkpoint (.pth, .safetensors)")
    parser.add_argument(
        "--lint",
        choices=("npu",),
        help="find what an Intel NPU would refuse of an openvino bundle (exit code 12 if there is anything)",
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
    from edgeblend.report.lint import lint_lines

    lint = edgeblend.lint_for_npu(bundle)
    if as_json:
        print_json({"path": str(bundle.path), "refused": lint.refused, "lint": lint})
    else:
        for line in lint_lines(lint):
            show(line)
    return FINDING if lint.refused else 0


def _show_bundle(bundle: Bundle, *, as_json: bool) -> None:
    from edgeblend.report.bundle import bundle_lines

    if as_json:
        print_json({"kind": "bundle", "path": str(bundle.path), "manifest": bundle.manifest})
        return
    for line in bundle_lines(bundle):
        show(line)


def _show_checkpoint(path: Path, *, as_json: bool) -> None:
    from edgeblend.report.checkpoint import checkpoint_rows

    try:
        from edgeblend.model.checkpoints.read import checkpoint_digest, matching_configs, read_checkpoint
    except ModuleNotFoundError as error:
        raise MissingPackageError.for_task("reading a checkpoint", error.name, extra="convert") from error
    state = read_checkpoint(path)
    report = {
        "kind": "checkpoint",
        "path": str(path),
        "sha256": checkpoint_digest(path),
        "parameters": sum(tensor.numel() for tensor in state.values()),
        "configs": list(matching_configs(state)),
        "tensors": {name: list(tensor.shape) for name, tensor in state.items()},
        "notes": Notes(state.notes).lines,
    }
    if as_json:
        print_json(report)
    else:
        print_rows(checkpoint_rows(path, report))
