"""``edgeblend convert``: a checkpoint to a verified bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeblend.terminal.notes import Notes, show_step
from edgeblend.terminal.output import show
from edgeblend.terminal.printing import print_json, print_rows
from edgeblend.terminal.values import parse_class_names, parse_size

_FOR_CHECKPOINTS = (
    *("config", "precision", "input_size", "dynamic", "attention", "class_names"),
    *("verify_on", "calibration", "recipe", "frames"),
)
_FOR_ETHOS_U = (
    "accelerator",
    "system_config",
    "memory_mode",
    "vela_config",
    "arena_cache_size",
    "optimise",
)
"""Options of one of the two conversions, which mean nothing to the other; None or False if not given."""

_EPILOG = """\
examples:
  edgeblend convert R_50_3x.pth --config R_50_3x --out r50
  edgeblend convert R_50_3x.pth --config R_50_3x --target tflite --out r50-tflite
  edgeblend convert R_50_3x.pth --config R_50_3x --calibration frames/ --out r50-int8
  edgeblend convert r50-tflite-int8 --target ethos-u --accelerator ethos-u65-512 --out r50-u65
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
        "checkpoint",
        type=Path,
        help=".pth or .safetensors file, of which only weights are read; for ethos-u a tflite bundle in INT8",
    )
    parser.add_argument("--config", help="published name such as R_50_3x, or a YAML file")
    parser.add_argument(
        "--out", "-o", required=True, type=Path, help="folder to make, or a name ending in .zip"
    )
    parser.add_argument(
        "--target",
        default="openvino",
        help="engine that will run the bundle: openvino (default), onnxruntime, tflite; or ethos-u",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8-dynamic"),
        help="precision that weights are stored in (default: fp32); int8-dynamic is for tflite",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--input-size",
        type=parse_size,
        metavar="HxW",
        help="canvas in pixels, such as 512x736 (default: the config's)",
    )
    size.add_argument("--dynamic", action="store_true", help="let the canvas follow each frame")
    parser.add_argument(
        "--attention",
        choices=("sparse", "dense"),
        help="compute attention at the detections (sparse, default) or everywhere in the graph (dense)",
    )
    parser.add_argument(
        "--class-names",
        metavar="NAMES",
        help="comma-separated, or a file: one name per line, ID<TAB>NAME per line, or a COCO data set",
    )
    parser.add_argument(
        "--verify-on",
        metavar="IMAGES",
        help="image, folder or quoted glob to compare with torch on (default: a photograph of edgeblend's)",
    )
    _add_calibration(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that exists")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    _add_ethos_u(parser)
    parser.set_defaults(command=run, usage_error=parser.error)


def _add_calibration(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("to quantize in the same step")
    group.add_argument(
        "--calibration", "-c", metavar="CALIBRATION", help="representative frames; --out is then in INT8"
    )
    group.add_argument("--recipe", help="int8, int8-accurate, or a JSON file (default: int8)")
    group.add_argument("--frames", type=int, metavar="N", help="how many frames to take (default: 300)")


def _add_ethos_u(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("for --target ethos-u")
    group.add_argument(
        "--accelerator",
        metavar="NAME",
        help="NPU, such as ethos-u55-128 or ethos-u85-512 (default: ethos-u65-256)",
    )
    group.add_argument("--system-config", metavar="NAME", help="clock and memories (default: Vela's own)")
    group.add_argument("--memory-mode", metavar="NAME", help="use of the memories (default: Vela's own)")
    group.add_argument(
        "--vela-config", type=Path, metavar="FILE", help="Vela's .ini file that describes the system"
    )
    group.add_argument(
        "--arena-cache-size",
        type=int,
        metavar="BYTES",
        help="bytes of SRAM to use (default: the memory mode's)",
    )
    group.add_argument(
        "--optimise", choices=("Performance", "Size"), help="what Vela optimises for (default: Performance)"
    )


def run(args: argparse.Namespace) -> int:
    """Convert and print what was measured."""
    _check_usage(args)
    return _compile(args) if args.target == "ethos-u" else _convert(args)


def _check_usage(args: argparse.Namespace) -> None:
    """Leave with exit code 2 if options do not go together."""
    wrong = _FOR_CHECKPOINTS if args.target == "ethos-u" else _FOR_ETHOS_U
    for name in wrong:
        if (given := getattr(args, name)) is not None and given is not False:  # 0 is given, too
            option = f"--{name.replace('_', '-')}"
            args.usage_error(f"{option} has no effect on --target {args.target}; leave it out")
    if args.target != "ethos-u" and args.config is None:
        args.usage_error("the following arguments are required: --config")


def _compile(args: argparse.Namespace) -> int:
    import edgeblend
    from edgeblend.report.conversion import compiled_document, compiled_lines

    options = {
        "accelerator": args.accelerator,
        "system_config": args.system_config,
        "memory_mode": args.memory_mode,
        "config": args.vela_config,
        "arena_cache_size": args.arena_cache_size,
        "optimise": args.optimise,
    }
    bundle, report = edgeblend.convert_for_ethos_u(
        args.checkpoint,
        args.out,
        **{name: value for name, value in options.items() if value is not None},
        overwrite=args.overwrite,
        progress=show_step,
    )
    if args.json:
        print_json(compiled_document(bundle, report))
        return 0
    for line in compiled_lines(bundle, report):
        show(line)
    return 0


def _convert(args: argparse.Namespace) -> int:
    import edgeblend
    from edgeblend.report.conversion import converted_document, converted_rows

    bundle = edgeblend.convert(
        args.checkpoint,
        args.out,
        config=args.config,
        target=args.target,
        precision=args.precision or "fp32",
        input_size=args.input_size,
        dynamic=args.dynamic,
        attention=args.attention or "sparse",
        class_names=None if args.class_names is None else parse_class_names(args.class_names),
        verify_on=args.verify_on,
        calibration=args.calibration,
        recipe=args.recipe,
        **({} if args.frames is None else {"count": args.frames}),
        overwrite=args.overwrite,
        progress=show_step,
    )
    notes = Notes(bundle.manifest.notes)
    if args.json:
        print_json(converted_document(bundle, notes.lines))
    else:
        print_rows(converted_rows(bundle))
    return 0
