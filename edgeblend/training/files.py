"""What a training run leaves in its folder; every file is whole, or what it was before.

=====================  ======================================================================
``model.safetensors``  the averaged weights, of the best evaluated epoch or else of the last
``config.yaml``        the config with the number of classes of the data set
``classes.txt``        one class per line: its category id, a tab, its name
``log.jsonl``          one line an epoch: losses, learning rate, accuracy
``last.pt``            everything that resuming needs, after the last whole epoch
=====================  ======================================================================
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml
from torch import Tensor

from edgeblend.class_list import class_list_text
from edgeblend.classes import category_ids_problem
from edgeblend.errors import CheckpointError, InputError, OutputError
from edgeblend.files import paths
from edgeblend.files.junk import is_junk
from edgeblend.files.staging import look_at, remove_leftovers, write_whole
from edgeblend.model.checkpoints.sums import altered_record
from edgeblend.model.config_files.keys import KEYS
from edgeblend.model.config_files.read import Setting

MODEL, CONFIG, CLASSES, LOG, LAST = "model.safetensors", "config.yaml", "classes.txt", "log.jsonl", "last.pt"

_FORMAT = "edgeblend training state 1"


def check_folder(out: Path, *, resume: bool) -> None:
    """Check that a folder can be made or is empty; for resuming, that there is something to resume.

    Raises:
        OutputError: it holds something.
        CheckpointError: nothing to resume.
    """
    if resume:
        if not paths.is_file(out / LAST):
            raise CheckpointError(f"{out}: there is no {LAST} to resume from; train without resuming")
        return
    if look_at(out).state is None:
        return
    if not paths.is_dir(out) or any(not is_junk(path.name) for path in out.iterdir()):
        hint = "resume the run in it, or choose another" if paths.is_file(out / LAST) else "choose another"
        raise OutputError(f"{out}: already exists and is not an empty folder; {hint}")


def make_folder(out: Path) -> None:
    """Make the folder and those above it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made: {error.strerror or error}") from error


def write_config(path: Path, settings: Mapping[str, Setting], num_classes: int) -> None:
    """Write a config without ``_BASE_``, for another number of classes.

    Only what shapes the network is written: where and how it was trained before is no longer true.
    """
    values = {key: setting.value for key, setting in settings.items() if key in KEYS}
    values["MODEL.FCOS.NUM_CLASSES"] = values["MODEL.BASIS_MODULE.NUM_CLASSES"] = num_classes
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value
    text = yaml.safe_dump(tree, sort_keys=True, default_flow_style=None)
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))


def check_classes(names: Sequence[str], category_ids: Sequence[int]) -> None:
    """Refuse names and ids that a text file with a class per line, or a bundle, cannot hold.

    Raises:
        InputError: a name is empty, has a tab or a line break in it, or a blank at either end; or an id does
            not fit into 64 bits.
    """
    wrong = [name for name in names if name.splitlines() != [name] or name.strip() != name or "\t" in name]
    if wrong:
        shown = ", ".join(map(repr, wrong[:3]))
        raise InputError(
            f"category names cannot be written one per line: {shown}; rename what is empty, has a tab or a"
            " line break, or begins or ends with a blank"
        )
    if problem := category_ids_problem(category_ids, len(names)):
        raise InputError(f"categories: {problem}; give them other ids")


def write_classes(path: Path, names: Sequence[str], category_ids: Sequence[int]) -> None:
    """Write classes as ``--class-names`` reads them."""
    text = class_list_text(names, category_ids)
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))


def write_model(path: Path, state: Mapping[str, Tensor], *, half: bool = False) -> None:
    """Write weights as safetensors; ``half`` stores them in float16, at half the size."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if half:
        tensors = {name: tensor.half() for name, tensor in tensors.items()}
    # Its own writing of files makes one beside ours, that a power cut would leave.
    write_whole(path, lambda file: file.write_bytes(safetensors.torch.save(tensors)))


def write_last(path: Path, content: Mapping[str, Any]) -> None:
    """Write what resuming needs: tensors, numbers, text, and lists and dicts of them."""

    def write(file: Path) -> None:
        with file.open("wb") as sink:  # handed a path, torch would write its name into the file
            try:
                torch.save({"format": _FORMAT, **content}, sink)
            except RuntimeError as error:  # torch's writer complains of what it lacks after Ctrl-C, too
                raise error.__context__ or error from None

    write_whole(path, write)


def read_last(path: Path) -> dict[str, Any]:
    """Read it back, and remove what a run that was killed left half-written; nothing in it is executed.

    Raises:
        CheckpointError: the file is broken or something else.
    """
    try:
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: cannot be read ({reason}); start the training anew") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path}: is not the state of a training run, or another version's; start the training anew"
        )
    remove_leftovers(path.parent)
    return content


def _check_sums(path: Path) -> None:
    """Raise a ValueError for a file that was altered: torch writes checksums, and does not look at them."""
    with zipfile.ZipFile(path) as archive:
        if (altered := altered_record(archive)) is not None:
            raise ValueError(f"{altered} in it was altered")


def write_log(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write all records so far, one line each."""
    text = "".join(f"{json.dumps(record, allow_nan=False)}\n" for record in records)
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))
