"""Puts a training run's model among the shipped data: ship.py RUN [--data DIR].

Weights are stored in float16, at half the size; what that costs is in the README's figures, which are all
measured from the shipped file.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from edgeblend.model.checkpoints.read import read_checkpoint
from edgeblend.training.files import CLASSES, CONFIG, LOG, MODEL, write_model

_SHIPPED = Path(__file__).parent / "data"
_LARGEST = 12_000_000  # bytes of a checkpoint that a repository should carry


def main() -> None:
    """Write the four files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder that `edgeblend train` made")
    parser.add_argument("--data", type=Path, default=_SHIPPED)
    args = parser.parse_args()
    write_model(args.data / MODEL, read_checkpoint(args.run / MODEL), half=True)
    size = (args.data / MODEL).stat().st_size
    if size > _LARGEST:
        raise SystemExit(f"{args.data / MODEL} has {size} bytes; expected at most {_LARGEST}")
    for name in (CONFIG, CLASSES):
        shutil.copyfile(args.run / name, args.data / name)
    shutil.copyfile(args.run / LOG, Path(__file__).parent / "training_log.jsonl")
    print(f"{args.data / MODEL}: {size} bytes")


if __name__ == "__main__":
    main()
