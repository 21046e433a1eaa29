"""The backbones there are.

A new one is a dataclass in ``config_schema``, a reader in ``config_build.BACKBONES``, and a network here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from torch import Tensor, nn

from edgeblend.model.backbones.dla import DLA34
from edgeblend.model.backbones.efficientnet import EfficientNetLite0
from edgeblend.model.backbones.resnet import ResNet
from edgeblend.model.config_files.schema import (
    BackboneConfig,
    DLAConfig,
    EfficientNetLiteConfig,
    ResNetConfig,
)


class BottomUp(Protocol):
    """What the feature pyramid asks of a backbone; it is an ``nn.Module`` too."""

    out_channels: dict[str, int]
    """The stages, finest first; stage ``<prefix><n>`` has stride 2**n."""

    @property
    def parts(self) -> tuple[tuple[nn.Module, ...], ...]:
        """What training can leave as it is, from the input on: the stem, then a stage each."""

    def modules(self) -> Iterator[nn.Module]:
        """As ``nn.Module`` has it."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As ``nn.Module`` has it."""

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Return every stage of (B, 3, H, W)."""


BUILDERS: dict[type, Callable[[Any], BottomUp]] = {
    ResNetConfig: ResNet,
    DLAConfig: DLA34,
    EfficientNetLiteConfig: EfficientNetLite0,
}
"""Config type to network."""


def build_bottom_up(config: BackboneConfig) -> BottomUp:
    """Return the backbone of a config, with random weights."""
    return BUILDERS[type(config)](config)
