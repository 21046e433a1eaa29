"""Trained weights: reading a checkpoint without running anything in it, and putting it into a network."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from edgeblend.errors import CheckpointError
from edgeblend.model.blendmask import BlendMask, expected_shapes, parameter_shapes
from edgeblend.model.config import NAMED, load_config

_ZIP_MAGIC, _PICKLE_MAGIC = b"PK", b"\x80"
"""How files of torch.save begin: since torch 1.6, and before."""

_NORMALISATION = ("pixel_mean", "pixel_std")
_TRAINING_ONLY = "basis_module.seg_head."

Shape = tuple[int, ...]


class CheckpointMismatchError(CheckpointError):
    """A checkpoint's parameters are not those of the network."""

    def __init__(
        self,
        message: str,
        *,
        missing: tuple[str, ...],
        unexpected: tuple[str, ...],
        mismatched: tuple[tuple[str, Shape, Shape], ...],
    ) -> None:
        super().__init__(message)
        self.missing = missing
        self.unexpected = unexpected
        self.mismatched = mismatched
        """Name, the shape the network has, the shape in the checkpoint."""


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Return a checkpoint's tensors as float32, under the names that networks of this package use.

    Reads what ``torch.save`` wrote (the state dict itself or under "model") and ``.safetensors``. Nothing in
    the file is executed. Prefixes ``module.`` are taken off, ``centerness`` is renamed ``ctrness`` and
    ``num_batches_tracked`` left out.

    Raises:
        CheckpointError: the file is missing, broken, unsafe, no checkpoint, or holds NaN or infinity.
    """
    path = Path(path)
    _check_file(path)
    if path.suffix == ".safetensors":
        content: object = _read_safetensors(path)
    else:
        content = _read_torch(path)
    return _clean(_state_dict(content, path), path)


def checkpoint_digest(path: str | Path) -> str:
    """Return the SHA-256 of a checkpoint file, in hexadecimal."""
    path = Path(path)
    _check_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_weights(network: BlendMask, state: Mapping[str, Tensor], *, source: str) -> None:
    """Put the tensors of :func:`read_checkpoint` into a network; all of them or, on an error, none.

    Args:
        network: of the config that the checkpoint was trained with.
        state: parameter name to tensor; ``basis_module.seg_head``, which only training reads, may be in it.
        source: where the tensors come from, for messages.

    Raises:
        CheckpointMismatchError: parameters are missing, unexpected or of another shape; names all of them.
        CheckpointError: the checkpoint was trained with another pixel mean or std than the config's.
    """
    weights = _for_inference(state)
    expected = parameter_shapes(network)
    if {name: tuple(tensor.shape) for name, tensor in weights.items()} != expected:
        raise _mismatch(weights, expected, network.config.name, source)
    _check_normalisation(network, state, source)
    own = network.state_dict()
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)


def matching_configs(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the named configs whose networks have exactly these parameters."""
    shapes = {name: tuple(tensor.shape) for name, tensor in _for_inference(state).items()}
    return tuple(name for name in NAMED if _published_shapes(name) == shapes)


@cache
def _published_shapes(name: str) -> dict[str, Shape]:
    return expected_shapes(load_config(name))


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; expected a checkpoint file (.pth or .safetensors).")
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}; check the path.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise CheckpointError(f"Cannot read the checkpoint {path}: {error.strerror or error}.") from error
    if empty:
        raise CheckpointError(f"{path} is empty (0 bytes); fetch the checkpoint again.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        reason = _first_line(error)
        raise CheckpointError(f"{path} is no whole safetensors file ({reason}); fetch it again.") from error
    return tensors


def _read_torch(path: Path) -> object:
    with path.open("rb") as file:
        magic = file.read(2)
    zipped = magic == _ZIP_MAGIC
    if not zipped and magic[:1] != _PICKLE_MAGIC:
        raise CheckpointError(f"{path} is not a checkpoint; expected a file of torch.save or .safetensors.")
    try:
        # Mapped, half a checkpoint (the optimizer's state) is never read; files before torch 1.6 cannot be.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, str(error)) from error
    except Exception as error:  # a broken pickle can raise anything
        broken = "is cut off or broken" if zipped else "is not a checkpoint, or is cut off"
        raise CheckpointError(f"{path} {broken} ({_first_line(error)}); fetch it again.") from error


def _unpickling_error(path: Path, message: str) -> CheckpointError:
    refused = re.search(r"GLOBAL ([\w.]*\w)", message)
    if refused is None:
        return CheckpointError(
            f"{path} is no checkpoint, or broken: a pickle that holds more or other things than tensors."
        )
    return CheckpointError(
        f"{path} wants to run code to be opened ({refused[1]}); refused, nothing was run. If you trust where"
        " it comes from, open it there with torch.load(..., weights_only=False) and save the tensors alone:"
        ' torch.save({"model": checkpoint["model"]}, "weights.pth").'
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _state_dict(content: object, path: Path) -> dict[Any, Any]:
    state = content
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        state = content["model"]
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}; expected a state dict, bare or under 'model'."
        )
    if not any(isinstance(value, Tensor) for value in state.values()):
        keys = ", ".join(map(repr, list(state)[:10])) or "none"
        raise CheckpointError(
            f"{path} holds no tensors (its keys: {keys}); expected a state dict, bare or under 'model'."
        )
    return state


def _clean(state: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """Canonical names, float32; refuses what cannot be a weight."""
    weights: dict[str, Tensor] = {}
    problems: list[str] = []
    for raw_name, value in state.items():
        name = _canonical_name(str(raw_name))
        if name.endswith("num_batches_tracked"):
            continue
        if name in weights:
            problems.append(f"{name} comes twice")
        elif problem := _tensor_problem(value):
            problems.append(f"{raw_name} {problem}")
        else:
            weights[name] = value.to(torch.float32)
    if problems:
        raise CheckpointError(f"{path} is not a usable checkpoint: {'; '.join(problems)}.")
    return weights


def _canonical_name(name: str) -> str:
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return ".".join("ctrness" if part == "centerness" else part for part in name.split("."))


def _tensor_problem(value: object) -> str | None:
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if not value.is_floating_point() or value.layout != torch.strided:
        return f"is {value.dtype}, not a plain tensor of floats"
    if not torch.isfinite(value.to(torch.float32)).all():
        return "has NaN or infinite values"
    return None


def _for_inference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor
        for name, tensor in state.items()
        if name not in _NORMALISATION
        and not name.startswith(_TRAINING_ONLY)
        and not name.endswith("num_batches_tracked")
    }


def _check_normalisation(network: BlendMask, state: Mapping[str, Tensor], source: str) -> None:
    for name in _NORMALISATION:
        expected = getattr(network.config.input, name)
        if name in state:
            actual = tuple(round(value, 3) for value in state[name].flatten().tolist())
            if len(actual) != 3 or any(abs(a - e) > 1e-2 for a, e in zip(actual, expected, strict=True)):
                raise CheckpointError(
                    f"{source} was trained with {name} {actual}, and the config {network.config.name} has"
                    f" {expected}; set MODEL.{name.upper()} in the config."
                )


def _mismatch(
    weights: Mapping[str, Tensor], expected: Mapping[str, Shape], config: str, source: str
) -> CheckpointMismatchError:
    missing = tuple(name for name in expected if name not in weights)
    unexpected = tuple(name for name in weights if name not in expected)
    mismatched = tuple(
        (name, expected[name], tuple(tensor.shape))
        for name, tensor in weights.items()
        if name in expected and tuple(tensor.shape) != expected[name]
    )
    parts = []
    if missing:
        parts.append(f"{len(missing)} missing: {', '.join(missing)}")
    if unexpected:
        parts.append(f"{len(unexpected)} unexpected: {', '.join(unexpected)}")
    if mismatched:
        shapes = (f"{name} is {_by(actual)} instead of {_by(want)}" for name, want, actual in mismatched)
        parts.append(f"{len(mismatched)} of another shape: {', '.join(shapes)}")
    fits = matching_configs(weights)
    advice = f"its parameters fit: {', '.join(fits)}" if fits else "give the config it was trained with"
    return CheckpointMismatchError(
        f"{source} does not fit the config {config}; {advice}; {'; '.join(parts)}.",
        missing=missing,
        unexpected=unexpected,
        mismatched=mismatched,
    )


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
