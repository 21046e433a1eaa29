"""The backbones there are.

A new one is a dataclass in ``config_schema``, a reader in ``config_build.BACKBONES``, and a network here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from edgeblend.model.config_schema import BackboneConfig, DLAConfig, ResNetConfig
from edgeblend.model.dla import DLA34
from edgeblend.model.resnet import ResNet


class BottomUp(Protocol):
    """What the feature pyramid asks of a backbone; it is an ``nn.Module`` too."""

    out_channels: dict[str, int]
    """The stages, finest first; stage ``<prefix><n>`` has stride 2**n."""

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Return every stage of (B, 3, H, W)."""


BUILDERS: dict[type, Callable[[Any], BottomUp]] = {ResNetConfig: ResNet, DLAConfig: DLA34}
"""Config type to network."""


def build_bottom_up(config: BackboneConfig) -> BottomUp:
    """Return the backbone of a config, with random weights."""
    return BUILDERS[type(config)](config)
