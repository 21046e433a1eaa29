"""Where a network is trained, and in which type its convolutions compute."""

from __future__ import annotations

from typing import get_args

import torch

from edgeblend.arguments.choices import check_choice
from edgeblend.errors import InputError
from edgeblend.training.options import Precision

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
        raise InputError(f"the device is {name!r}, and training runs on cpu and cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"the device {name!r} is not there; torch {torch.__version__} sees {torch.cuda.device_count()}"
            " CUDA devices"
        )
    return device


def choose_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type that convolutions compute in; ``auto`` takes bfloat16 where the hardware has it.

    Raises:
        InputError: float16 on a CPU, or another word.
    """
    check_choice("precision", precision, get_args(Precision))
    if precision == "float16" and device.type == "cpu":
        raise InputError("float16 trains on CUDA only; take bfloat16 or float32 on a CPU")
    if precision != "auto":
        return _DTYPES[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))
