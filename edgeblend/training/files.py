"""What a training run leaves in its folder; every file is whole, or what it was before.

=====================  ======================================================================
``model.safetensors``  the averaged weights, of the best evaluated epoch or else of the last
``config.yaml``        the config with the number of classes of the data set
``classes.txt``        class names, one a line
``log.jsonl``          one line an epoch: losses, learning rate, accuracy
``last.pt``            everything that resuming needs, after the last whole epoch
=====================  ======================================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml
from torch import Tensor

from edgeblend.errors import CheckpointError, OutputError
from edgeblend.model.config_file import Setting

MODEL, CONFIG, CLASSES, LOG, LAST = "model.safetensors", "config.yaml", "classes.txt", "log.jsonl", "last.pt"
NAMES = (MODEL, CONFIG, CLASSES, LOG, LAST)


def prepare_folder(out: Path, *, resume: bool) -> None:
    """Make the folder, or check that it is empty; for resuming, that there is something to resume.

    Raises:
        OutputError: the folder holds something, or cannot be made.
        CheckpointError: nothing to resume.
    """
    if resume:
        if not (out / LAST).is_file():
            raise CheckpointError(f"{out}: there is no {LAST} to resume from; train without resuming")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: already exists and is not an empty folder; choose another, or resume it")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made: {error.strerror or error}") from error


def write_config(path: Path, settings: Mapping[str, Setting], num_classes: int) -> None:
    """Write a config on its own, without ``_BASE_``, for another number of classes."""
    values = {key: setting.value for key, setting in settings.items()}
    values["MODEL.FCOS.NUM_CLASSES"] = values["MODEL.BASIS_MODULE.NUM_CLASSES"] = num_classes
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value
    text = yaml.safe_dump(tree, sort_keys=True, default_flow_style=None)
    write_whole(path, lambda file: file.write_bytes(text.encode()))


def write_classes(path: Path, names: Sequence[str]) -> None:
    """Write class names as ``--class-names`` reads them."""
    write_whole(path, lambda file: file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8"))


def write_model(path: Path, state: Mapping[str, Tensor], *, half: bool = False) -> None:
    """Write weights as safetensors; ``half`` stores them in float16, at half the size."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if half:
        tensors = {name: tensor.half() for name, tensor in tensors.items()}
    write_whole(path, lambda file: safetensors.torch.save_file(tensors, file))


def write_last(path: Path, content: Mapping[str, Any]) -> None:
    """Write what resuming needs."""
    write_whole(path, lambda file: torch.save(dict(content), file))


def read_last(path: Path) -> dict[str, Any]:
    """Read it back; nothing in it is executed.

    Raises:
        CheckpointError: the file is broken or something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        raise CheckpointError(f"{path}: cannot be read ({error}); start the training anew") from error
    if not isinstance(content, dict) or "epoch" not in content:
        raise CheckpointError(f"{path}: is not the state of a training run; start the training anew")
    return content


def write_log(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write all records so far, a line each."""
    text = "".join(f"{json.dumps(record)}\n" for record in records)
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``path``, then take its place: after any failure ``path`` is what it was.

    Raises:
        OutputError: the disk is full, say.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    # torch and safetensors raise their own kinds when a disk is full.
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot be written ({reason}); what was there before is intact") from error
    finally:
        partial.unlink(missing_ok=True)
