"""What a training run is told, checked before it starts."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, get_args

from edgeblend.arguments.checks import check_flag, check_kind, check_text, shown
from edgeblend.arguments.choices import check_choice
from edgeblend.errors import InputError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Optimizer = Literal["adamw", "sgd"]

_LEARNING_RATES: dict[Optimizer, float] = {"adamw": 1e-3, "sgd": 0.01}
_WEIGHT_DECAYS: dict[Optimizer, float] = {"adamw": 0.02, "sgd": 1e-4}
_RATED_BATCH = 16  # pictures a step that learning rates are given for


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far pictures are changed, each time anew."""

    flip: bool = True
    """Mirror every second picture."""
    scales: tuple[float, float] = (0.75, 1.15)
    """Every batch is scaled by a factor from this range, over the config's own resize rule."""
    brightness: float = 0.15
    """Largest shift of brightness, as a share of the full range."""
    contrast: float = 0.2
    """Contrast is multiplied by 1 - this .. 1 + this."""
    saturation: float = 0.3
    """Saturation is multiplied by 1 - this .. 1 + this."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How to train; the defaults suit fine-tuning a small model."""

    epochs: int = 12
    batch_size: int = 16
    optimizer: Optimizer = "adamw"
    learning_rate: float | None = None
    """Learning rate at 16 images per step, scaled with the batch; None: 1e-3 for AdamW, 0.01 for SGD."""
    backbone_factor: float = 0.5
    """The backbone learns at this share of the learning rate."""
    weight_decay: float | None = None
    """Weight decay; None: 0.02 for AdamW, 1e-4 for SGD. Norms and biases have none."""
    warmup_steps: int = 200
    """Number of warm-up steps, at most a quarter of all steps."""
    clip_norm: float = 10.0
    """Largest norm of the gradients; longer ones are scaled down to it."""
    average_decay: float = 0.998
    """Decay of the moving average of the weights, which is evaluated and kept."""
    precision: Precision = "auto"
    """Precision of the convolutions; ``auto`` is bfloat16 where the hardware has it."""
    device: str = "auto"
    """``cpu``, ``cuda`` or ``cuda:N``; ``auto`` is CUDA where torch has it."""
    workers: int = 1
    """Processes that prepare pictures; 0 prepares them between steps."""
    seed: int = 0
    evaluate_every: int = 1
    """Epochs between evaluations, where there is a validation set; the last is always evaluated."""
    augmentation: Augmentation = Augmentation()

    @property
    def base_rate(self) -> float:
        """The learning rate at 16 pictures a step."""
        return _LEARNING_RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    @property
    def rate(self) -> float:
        """The highest learning rate of the schedule, at this batch size."""
        return self.base_rate * self.batch_size / _RATED_BATCH

    @property
    def decay(self) -> float:
        """The weight decay."""
        return _WEIGHT_DECAYS[self.optimizer] if self.weight_decay is None else self.weight_decay


_SOCKET_PATH = {"linux": 107, "darwin": 103}
"""Bytes of a socket's path at most."""


def check_training_options(options: TrainingOptions) -> None:
    """Refuse what cannot be trained with.

    Raises:
        InputError: names the option, what came and what is expected.
    """
    check_kind("options", options, TrainingOptions, "TrainingOptions")
    check_text("device", options.device)
    check_choice("optimizer", options.optimizer, get_args(Optimizer))
    check_choice("precision", options.precision, get_args(Precision))
    augmentation = check_kind("augmentation", options.augmentation, Augmentation, "an Augmentation")
    check_flag("flip", augmentation.flip)
    whole: tuple[tuple[str, float, float, float], ...] = (
        ("epochs", options.epochs, 1, math.inf),
        ("batch_size", options.batch_size, 1, math.inf),
        ("warmup_steps", options.warmup_steps, 0, math.inf),
        ("workers", options.workers, 0, 256),
        ("seed", options.seed, 0, 2**32 - 1),
        ("evaluate_every", options.evaluate_every, 1, math.inf),
    )
    for name, count, low, high in whole:
        if isinstance(count, bool) or not isinstance(count, Integral):
            raise InputError(f"{name} is {shown(count)}; expected a whole number")
        _check_range(name, count, low, high)
    numbers = (
        ("learning_rate", options.base_rate, 1e-9, 100),
        ("backbone_factor", options.backbone_factor, 0, 1000),
        ("weight_decay", options.decay, 0, 1),
        ("clip_norm", options.clip_norm, 1e-6, math.inf),
        ("average_decay", options.average_decay, 0, 0.999999),
        ("brightness", augmentation.brightness, 0, 1),
        ("contrast", augmentation.contrast, 0, 1),
        ("saturation", augmentation.saturation, 0, 1),
    )
    for name, value, low, high in numbers:
        _check_range(name, value, low, high)
    smallest, largest = _two_numbers("scales", augmentation.scales)
    if not 0.1 <= smallest <= largest <= 4:
        raise InputError(f"scales are {smallest} to {largest}; expected 0.1 <= smallest <= largest <= 4")
    if options.workers:
        _check_temporary_folder()


def _check_temporary_folder() -> None:
    """Refuse a folder whose name is too long for the sockets that workers hand batches over with.

    Python names them ``pymp-XXXXXXXX/listener-XXXXXXXX`` in it. It would say nothing of one that it cannot
    make, and training would wait for a batch without end.
    """
    folder = tempfile.gettempdir()
    limit = _SOCKET_PATH.get(sys.platform, math.inf) - len("/pymp-XXXXXXXX/listener-XXXXXXXX")
    if len(os.fsencode(folder)) > limit:
        raise InputError(
            f"{folder}: this folder for temporary files has a name of over {limit} bytes, too long for "
            "sockets of worker processes; set TMPDIR to a shorter one, or train with 0 workers"
        )


def _two_numbers(name: str, given: object) -> tuple[float, float]:
    if isinstance(given, tuple | list) and len(given) == 2 and all(map(_is_number, given)):
        return given[0], given[1]
    raise InputError(f"{name} are {shown(given)}; expected two numbers")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not _is_number(value):
        raise InputError(f"{name} is {shown(value)}; expected a number")
    if not low <= value <= high:  # written so that nan is refused
        upper = "" if high == math.inf else f" and at most {high:g}"
        raise InputError(f"{name} is {value}; expected at least {low:g}{upper}")
