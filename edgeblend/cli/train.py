"""``edgeblend train``: a COCO data set to a checkpoint."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgeblend.files import paths
from edgeblend.terminal.output import tell
from edgeblend.terminal.printing import print_json, print_rows

if TYPE_CHECKING:
    from edgeblend.training.run import TrainingResult

_EPILOG = """\
example:
  edgeblend train --config Lite0_320 --dataset train.json --validation val.json --out run
  edgeblend train --config Lite0_320 --dataset train.json --validation val.json --out run --resume
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train",
        parents=[common],
        help="train or fine-tune a network on a COCO data set",
        description="Train or fine-tune a BlendMask network on a data set in COCO's format.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", required=True, help="published name such as Lite0_320 or R_50_1x, or a YAML file"
    )
    parser.add_argument("--dataset", required=True, type=Path, help="COCO file to learn from")
    parser.add_argument(
        "--images", type=Path, help="folder of its images (default: the folder named like the file)"
    )
    parser.add_argument("--validation", type=Path, help="COCO file to measure AP on after every epoch")
    parser.add_argument(
        "--validation-images",
        type=Path,
        help="folder of its images (default: the folder named like the file)",
    )
    parser.add_argument("--out", "-o", required=True, type=Path, help="folder to make for the checkpoint")
    parser.add_argument(
        "--weights",
        default="imagenet",
        metavar="FILE",
        help="checkpoint to fine-tune, `imagenet` for the backbone alone (default), or `none`",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out; --weights is not read again",
    )
    _add_options(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(command=run, usage_error=parser.error)


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to train")
    group.add_argument("--epochs", type=int, default=12, help="number of passes over the data (default: 12)")
    group.add_argument("--batch-size", type=int, default=16, help="images per step (default: 16)")
    group.add_argument(
        "--learning-rate",
        type=float,
        help="learning rate for 16 images per step (default: 1e-3 for adamw, 0.01 for sgd)",
    )
    group.add_argument(
        "--optimizer", choices=("adamw", "sgd"), default="adamw", help="optimizer (default: adamw)"
    )
    group.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="precision of the convolutions (default: bfloat16 where the hardware has it)",
    )
    group.add_argument("--device", default="auto", help="cpu, cuda or cuda:N (default: cuda if there is one)")
    group.add_argument(
        "--workers", type=int, default=1, help="number of processes that prepare images (default: 1)"
    )
    group.add_argument(
        "--seed", type=int, default=0, help="seed of the order and the augmentation of images (default: 0)"
    )
    group.add_argument(
        "--scales",
        type=float,
        nargs=2,
        default=(0.75, 1.15),
        metavar=("LOW", "HIGH"),
        help="range of image sizes, relative to the config's (default: 0.75 1.15)",
    )
    group.add_argument("--no-flip", action="store_true", help="do not mirror images; for text and the like")
    group.add_argument(
        "--evaluate-every",
        type=int,
        metavar="N",
        help="number of epochs between evaluations on --validation (default: 1)",
    )


def run(args: argparse.Namespace) -> int:
    """Train, saying every epoch how it goes, and print what came out."""
    from edgeblend.report.training import training_document, training_rows

    _check_usage(args)
    try:
        result = _train(args)
    except KeyboardInterrupt:
        if paths.is_file(args.out / "last.pt"):
            tell(f"{args.out} holds the last whole epoch; the same command with --resume goes on after it")
        raise
    if args.json:
        print_json(training_document(result))
    else:
        print_rows(training_rows(result, args.out))
    return 0


def _check_usage(args: argparse.Namespace) -> None:
    """Leave with exit code 2 if an option would have no effect."""
    for name in ("validation_images", "evaluate_every"):
        if args.validation is None and getattr(args, name) is not None:
            args.usage_error(
                f"--{name.replace('_', '-')} has no effect without --validation; give both or neither"
            )


def _train(args: argparse.Namespace) -> TrainingResult:
    import edgeblend
    from edgeblend.calibration.data.coco import read_coco

    train = edgeblend.train  # first of all: something that it needs may be missing
    options = edgeblend.TrainingOptions(
        epochs=args.epochs,
        batch_size=args.batch_size,
        optimizer=args.optimizer,
        learning_rate=args.learning_rate,
        precision=args.precision,
        device=args.device,
        workers=args.workers,
        seed=args.seed,
        evaluate_every=1 if args.evaluate_every is None else args.evaluate_every,
        augmentation=edgeblend.Augmentation(flip=not args.no_flip, scales=(args.scales[0], args.scales[1])),
    )
    data = read_coco(args.dataset, args.images)
    held_out = None
    if args.validation is not None:
        held_out = read_coco(args.validation, args.validation_images, class_names=data.class_names)
    return train(
        data,
        args.out,
        config=args.config,
        validation=held_out,
        weights=None if args.weights == "none" else args.weights,
        resume=args.resume,
        options=options,
        report=tell,
        progress=sys.stderr.isatty(),
    )
