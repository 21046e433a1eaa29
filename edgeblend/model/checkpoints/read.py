"""Trained weights: reading a checkpoint without running anything in it, and putting it into a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from edgeblend.arguments.checks import check_path
from edgeblend.errors import CheckpointError
from edgeblend.model.blendmask import BlendMask, parameter_shapes
from edgeblend.model.checkpoints.file import check_file, is_safetensors, read_content
from edgeblend.model.checkpoints.fit import (
    NORMALISATION,
    CheckpointMismatchError,
    for_inference,
    matching_configs,
    mismatch,
)
from edgeblend.model.checkpoints.names import Section, canonical_names, choose_section, listed
from edgeblend.processes.third_party_warnings import warnings_are_no_errors

__all__ = [
    "Checkpoint",
    "CheckpointMismatchError",
    "checkpoint_digest",
    "load_weights",
    "matching_configs",
    "read_checkpoint",
]

_REPEATED = 1_000_000
"""Values that a tensor may have beyond those in the file: views can repeat one value endlessly."""


class Checkpoint(dict[str, Tensor]):
    """A checkpoint's tensors by name, and what was assumed as they were read."""

    notes: tuple[str, ...] = ()
    """Sentences for people: prefixes that were taken off, weights in the file that are not used."""


@warnings_are_no_errors()
def read_checkpoint(path: str | Path) -> Checkpoint:
    """Return a checkpoint's tensors as float32, under the names that networks of this package use.

    Reads what ``torch.save`` wrote (a state dict, itself or under "model" or "state_dict") and
    ``.safetensors``. Nothing in the file is executed. What wrappers add to names (``module.``,
    ``_orig_mod.``) and a prefix that all names have (``model.``) are taken off and noted, ``centerness`` is
    renamed ``ctrness`` and counters of batches are left out.

    Raises:
        CheckpointError: the file is missing, broken, unsafe, no checkpoint, or holds NaN or infinity.
    """
    path = check_path("path", path)
    section = choose_section(read_content(path), path)
    names = canonical_names(section, path, safetensors=is_safetensors(path))
    checkpoint = Checkpoint(_weights(section, names.canonical, path))
    checkpoint.notes = (*section.notes, *names.notes)
    return checkpoint


def checkpoint_digest(path: str | Path) -> str:
    """Return the SHA-256 of a checkpoint file, in hexadecimal.

    Raises:
        CheckpointError: the file is missing, empty or cannot be read.
    """
    path = check_path("path", path)
    check_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_weights(network: BlendMask, state: Mapping[str, Tensor], *, source: str) -> None:
    """Put the tensors of :func:`read_checkpoint` into a network; all of them or, on an error, none.

    Args:
        network: of the config that the checkpoint was trained with.
        state: parameter name to tensor; ``basis_module.seg_head``, which only training reads, may be in it.
        source: where the tensors come from, for messages.

    Raises:
        CheckpointMismatchError: parameters are missing, unexpected or of another shape; has all their names.
        CheckpointError: the checkpoint was trained with another pixel mean or std than the config's.
    """
    weights = for_inference(state)
    expected = parameter_shapes(network)
    if {name: tuple(tensor.shape) for name, tensor in weights.items()} != expected:
        raise mismatch(weights, expected, network.config.name, source)
    _check_normalisation(network, state, source)
    own = network.state_dict()
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)


def _weights(section: Section, names: Mapping[str, str], path: Path) -> dict[str, Tensor]:
    """Canonical names, float32; refuses what cannot be a weight."""
    weights: dict[str, Tensor] = {}
    problems: list[str] = []
    for raw, name in names.items():
        value = section.state[raw]
        if name in weights:
            problems.append(f"{listed([name])} comes twice")
        elif problem := _tensor_problem(value):
            problems.append(f"{listed([raw])} {problem}")
        else:
            weights[name] = value.detach().to(torch.float32)
    if problems:
        shown = "; ".join(problems[:3])
        more = f"; {len(problems)} of {len(names)} are like this" if len(problems) > 3 else ""
        raise CheckpointError(f"{path} is not a usable checkpoint: {shown}{more}.")
    return weights


def _tensor_problem(value: object) -> str | None:
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if value.is_meta:
        return "has no values (a meta tensor): load the model's weights before saving it"
    if not value.is_floating_point() or value.layout != torch.strided:
        kind = value.dtype if value.layout == torch.strided else f"{value.layout} of {value.dtype}"
        return f"is {kind}, not a plain tensor of floats"
    if value.numel() > value.untyped_storage().nbytes() // value.element_size() + _REPEATED:
        return f"claims {value.numel()} values and repeats the few that it has"
    if not torch.isfinite(value.to(torch.float32)).all():
        return "has NaN or infinite values"
    return None


def _check_normalisation(network: BlendMask, state: Mapping[str, Tensor], source: str) -> None:
    for name in NORMALISATION:
        expected = getattr(network.config.input, name)
        if name not in state:
            continue
        actual = tuple(round(value, 3) for value in state[name].flatten()[:4].tolist())
        if len(actual) != 3 or any(abs(a - e) > 1e-2 for a, e in zip(actual, expected, strict=True)):
            raise CheckpointError(
                f"{source} was trained with {name} {actual}, and the config {network.config.name} has"
                f" {expected}; set MODEL.{name.upper()} in the config."
            )
