"""Stand-in weights: a checkpoint of any config, without training and without a download.

They detect nothing meaningful. They are scaled so that activations stay in the range that a trained
network has and that a few to some hundred detections come out, which is what a conversion, a speed
measurement or a test needs. The same names, shapes and seed give the same weights on any machine.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

StateDict = dict[str, NDArray[Any]]


def write_stand_in_checkpoint(config: str | Path, path: str | Path, *, seed: int = 0) -> Path:
    """Write a ``.pth`` with stand-in weights for a config; return its path.

    Raises:
        ConfigError: the config is unknown or not supported.
        OutputError: the file cannot be written.
    """
    import torch

    from edgeblend.errors import OutputError
    from edgeblend.model.blendmask import expected_shapes
    from edgeblend.model.config import load_config

    state = synthetic_state_dict(expected_shapes(load_config(config)), seed)
    content = {"model": {name: torch.from_numpy(value) for name, value in state.items()}}
    try:
        torch.save(content, path)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
        raise OutputError(f"{path}: cannot be written: {str(error).splitlines()[0]}") from error
    return Path(path)


def synthetic_state_dict(shapes: Mapping[str, Sequence[int]], seed: int) -> StateDict:
    """Return one array for every parameter name, a function of name, shape and seed only."""
    return {name: _parameter(name, tuple(shape), seed) for name, shape in shapes.items()}


def digest(state: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 over names and bytes, to see whether two machines made the same weights."""
    sha = hashlib.sha256()
    for name in sorted(state):
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(state[name]).tobytes())
    return sha.hexdigest()


def _parameter(name: str, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_mean"):
        value = rng.normal(0.0, 0.1, shape)
    elif name.endswith("running_var"):
        value = rng.uniform(0.6, 1.4, shape)
    elif len(shape) == 1 and name.endswith("weight"):  # a norm layer's gain
        value = rng.uniform(0.7, 1.3, shape) * _residual_gain(name)
    elif len(shape) == 1:  # a bias
        value = rng.normal(0.0, 0.05, shape) + _bias_offset(name, seed)
    else:  # a convolution
        fan_in = int(np.prod(shape[1:]))
        value = rng.normal(0.0, np.sqrt(2.0 / fan_in), shape) * _conv_gain(name)
    return np.asarray(value, np.float32).reshape(shape)


def _residual_gain(name: str) -> float:
    """Damp the last norm of every residual branch, so that depth does not blow up."""
    if "conv3.norm" in name:
        return 0.3
    return 0.5 if ".bn2." in name else 1.0


def _conv_gain(name: str) -> float:
    if name.endswith(("stem.conv1.weight", "base_layer.0.weight")):
        return 1.0 / 60.0  # the input is in 0..255 minus the mean
    if name.endswith("conv2_offset.weight"):
        return 0.3
    if ".fpn_lateral" in name or ".top_block." in name:
        return 0.5
    if name.endswith("_tower.0.weight"):
        return 0.15  # keeps heads without a norm, or with batch norm, near unit variance
    if name.endswith(("cls_logits.weight", "bbox_pred.weight")):
        return 1.8  # a long upper tail of scores, and box outputs on both sides of zero
    if name.startswith("basis_module.tower.") and len(name.split(".")) == 4:
        return 0.15  # the last, 1x1 convolution: bases of a few units
    return 1.0


def _bias_offset(name: str, seed: int) -> float:
    if name.endswith("cls_logits.bias"):
        return -7.0 - 0.4 * (seed % 3)  # from a few to a few hundred detections
    return 2.5 if name.endswith("bbox_pred.bias") else 0.0
