"""``edgeblend convert``: a checkpoint to a verified bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgeblend.cli.report import human_bytes, print_json, print_rows
from edgeblend.errors import InputError

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle

_EPILOG = """\
example:
  edgeblend convert R_50_3x.pth --config R_50_3x --out r50
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "convert",
        parents=[common],
        help="convert a checkpoint into a verified bundle",
        description="Convert a BlendMask checkpoint into a bundle, and verify it against torch.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "checkpoint", type=Path, help=".pth or .safetensors file; weights only, never executed"
    )
    parser.add_argument("--config", required=True, help="a published name such as R_50_3x, or a YAML file")
    parser.add_argument(
        "--out", "-o", required=True, type=Path, help="folder to make, or a name ending in .zip"
    )
    parser.add_argument(
        "--target",
        default="openvino",
        help="engine that will run it: openvino (default), onnxruntime or tflite",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8-dynamic"),
        default="fp32",
        help="how weights are stored (default: fp32); int8-dynamic is for tflite",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--input-size",
        type=_size,
        metavar="HxW",
        help="canvas in pixels, such as 512x736 (default: the config's)",
    )
    size.add_argument("--dynamic", action="store_true", help="let the canvas follow each frame")
    parser.add_argument(
        "--attention",
        choices=("sparse", "dense"),
        default="sparse",
        help="compute attention at the detections (default), or everywhere in the graph",
    )
    parser.add_argument(
        "--class-names", metavar="NAMES", help="comma-separated, or a text file with one name a line"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is already there")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Convert and print what was measured."""
    import edgeblend

    bundle = edgeblend.convert(
        args.checkpoint,
        args.out,
        config=args.config,
        target=args.target,
        precision=args.precision,
        input_size=args.input_size,
        dynamic=args.dynamic,
        attention=args.attention,
        class_names=_class_names(args.class_names),
        overwrite=args.overwrite,
        progress=_show_step,
    )
    _print_result(bundle, as_json=args.json)
    return 0


def _show_step(step: str) -> None:
    if sys.stderr.isatty():
        print(f"{step} ...", file=sys.stderr)


def _print_result(bundle: Bundle, *, as_json: bool) -> None:
    measured = bundle.manifest.verification
    size = sum(file.size for file in bundle.manifest.files)
    worst = max(measured.tensors, key=lambda error: error.max_error)
    if as_json:
        print_json({"bundle": str(bundle.path), "bytes": size, "verification": measured})
        return
    print_rows(
        [
            ("bundle", f"{bundle.path} ({human_bytes(size)})"),
            (
                "verified",
                f"largest difference from torch {worst.max_error} standard deviations ({worst.tensor}), "
                f"allowed {measured.tolerance.max_error}",
            ),
            ("", f"{measured.matched} of {measured.detections} detections agree"),
            ("next", f"edgeblend run {bundle.path} PICTURE --out results"),
        ]
    )


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HxW such as 512x736, got {text!r}") from None


def _class_names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    path = Path(text)
    # One name without a comma could be a class; with a folder or a suffix it was meant as a file.
    if "," in text or not (path.is_file() or path.suffix or len(path.parts) > 1):
        return [name.strip() for name in text.split(",")]
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected class names, or a text file with one a line")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of class names: {error}") from error
    return [line.strip() for line in lines if line.strip()]
