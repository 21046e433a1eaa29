"""What a training run is told, checked before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from edgeblend.errors import InputError
from edgeblend.training.examples import Augmentation

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Optimizer = Literal["adamw", "sgd"]

_LEARNING_RATES: dict[Optimizer, float] = {"adamw": 1e-3, "sgd": 0.01}
_WEIGHT_DECAYS: dict[Optimizer, float] = {"adamw": 0.02, "sgd": 1e-4}


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How to train; the defaults suit fine-tuning a small model."""

    epochs: int = 12
    batch_size: int = 16
    optimizer: Optimizer = "adamw"
    learning_rate: float | None = None
    """At 16 pictures a step, and scaled with the batch; None: 1e-3 for AdamW, 0.01 for SGD."""
    backbone_factor: float = 0.5
    """The backbone learns at this share of the learning rate."""
    weight_decay: float | None = None
    """None: 0.02 for AdamW, 1e-4 for SGD. Norms and biases have none."""
    warmup_steps: int = 200
    clip_norm: float = 10.0
    """Gradients longer than this are shortened to it."""
    average_decay: float = 0.998
    """Of the moving average that is evaluated and kept."""
    precision: Precision = "auto"
    device: str = "auto"
    workers: int = 1
    """Processes that prepare pictures; 0 prepares them between steps."""
    seed: int = 0
    evaluate_every: int = 1
    """Epochs between evaluations, where there is a validation set; the last is always evaluated."""
    augmentation: Augmentation = Augmentation()

    @property
    def rate(self) -> float:
        """The highest learning rate of the schedule."""
        base = _LEARNING_RATES[self.optimizer] if self.learning_rate is None else self.learning_rate
        return base * self.batch_size / 16

    @property
    def decay(self) -> float:
        """The weight decay."""
        return _WEIGHT_DECAYS[self.optimizer] if self.weight_decay is None else self.weight_decay


def check_training_options(options: TrainingOptions) -> None:
    """Refuse what cannot be trained with.

    Raises:
        InputError: names the option, what came and what is expected.
    """
    limits: tuple[tuple[str, float, float, float], ...] = (
        ("epochs", options.epochs, 1, math.inf),
        ("batch_size", options.batch_size, 1, math.inf),
        ("backbone_factor", options.backbone_factor, 0, math.inf),
        ("learning_rate", options.rate, 1e-9, 100),
        ("weight_decay", options.decay, 0, 1),
        ("warmup_steps", options.warmup_steps, 0, math.inf),
        ("clip_norm", options.clip_norm, 1e-6, math.inf),
        ("average_decay", options.average_decay, 0, 0.999999),
        ("workers", options.workers, 0, 256),
        ("seed", options.seed, 0, 2**32 - 1),
        ("evaluate_every", options.evaluate_every, 1, math.inf),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            upper = "" if high == math.inf else f" and at most {high:g}"
            raise InputError(f"{name} is {value}; expected at least {low:g}{upper}")
    smallest, largest = options.augmentation.scales
    if not 0.1 <= smallest <= largest <= 4:
        raise InputError(f"scales are {smallest} to {largest}; expected 0.1 <= smallest <= largest <= 4")


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is CUDA where torch has it.

    Raises:
        InputError: torch does not know the device, or it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"the device {name!r} is not one of torch's; expected auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"training runs on cpu and cuda, not on {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"the device {name!r} is not there; torch {torch.__version__} sees {torch.cuda.device_count()}"
            " CUDA devices"
        )
    return device


def choose_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type that convolutions compute in; ``auto`` takes bfloat16 where the hardware has it.

    Raises:
        InputError: float16 on a CPU.
    """
    if precision == "float16" and device.type == "cpu":
        raise InputError("float16 trains on CUDA only; take bfloat16 or float32 on a CPU")
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))
