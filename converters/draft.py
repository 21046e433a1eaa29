"""What a conversion was asked for, and the manifest as far as that alone decides it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args

import msgspec

from edgeblend.arguments.checks import check_flag, check_size, check_text
from edgeblend.arguments.choices import check_choice
from edgeblend.class_list import ClassList
from edgeblend.converters.model_classes import choose_classes
from edgeblend.converters.split import AttentionMode
from edgeblend.converters.verify import TOLERANCES
from edgeblend.errors import ConfigError, InputError
from edgeblend.manifest import SCHEMA_VERSION, AttentionSpec, Manifest, SourceSpec, VerificationSpec
from edgeblend.manifest_checks import canvas_problems
from edgeblend.model.config import ModelConfig, blend_spec, decode_spec, panoptic_spec
from edgeblend.spec import InputSpec

Precision = Literal["fp32", "fp16", "int8-dynamic"]

_SMALLEST_SIDE, _LARGEST_SIDE = 32, 8192  # pixels


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """Everything that a conversion can be told besides what to convert."""

    target: str = "openvino"
    precision: Precision = "fp32"
    input_size: tuple[int, int] | None = None
    """(height, width) of the canvas; None: the config's test size, landscape."""
    dynamic: bool = False
    attention: AttentionMode = "sparse"
    classes: ClassList | None = None
    """What the caller knows of them."""
    overwrite: bool = False


def check_options(options: ConvertOptions) -> None:
    """Refuse options that are not valid, or contradict each other, with an InputError."""
    check_choice("precision", options.precision, get_args(Precision))
    check_choice("attention", options.attention, get_args(AttentionMode))
    check_text("target", options.target)
    check_flag("dynamic", options.dynamic)
    check_flag("overwrite", options.overwrite)
    if options.input_size is None:
        return
    if options.dynamic:
        raise InputError("input_size: a dynamic bundle has none; give input_size or dynamic, not both")
    check_size("input_size", options.input_size, _SMALLEST_SIDE, _LARGEST_SIDE)


def draft_manifest(config: ModelConfig, name: str, checkpoint: Path, options: ConvertOptions) -> Manifest:
    """Return the manifest as far as it is known before anything is read or exported.

    Args:
        config: the model.
        name: the published name or YAML path that the caller gave.
        checkpoint: the file that will be read.
        options: what was asked for.

    Raises:
        InputError: the class names do not fit the model, or are needed and missing.
        ConfigError: the semantic classes are not COCO's, or a value is larger than bundles take.
    """
    classes = choose_classes(config, options.classes)
    draft = Manifest(
        schema_version=SCHEMA_VERSION,
        target=options.target,
        source=SourceSpec(
            config=Path(name).name if name.endswith((".yaml", ".yml")) else name,
            checkpoint=checkpoint.name,
            checkpoint_sha256="0" * 64,
        ),
        input=_input_spec(config, options),
        things=classes.things,
        category_ids=classes.category_ids,
        stuff=classes.stuff,
        decode=decode_spec(config),
        attention=AttentionSpec(mode=options.attention, file=None),
        blend=blend_spec(config),
        panoptic=panoptic_spec(config),
        graphs={},
        tools={"edgeblend": version("edgeblend")},
        verification=VerificationSpec(
            tolerance=TOLERANCES[options.precision],
            pictures=(),
            tensors=(),
            detections=0,
            matched=0,
            lowest_mask_iou=None,
        ),
        quantization=None,
        notes=classes.notes,
    )
    _check_limits(draft)
    return draft


def _check_limits(draft: Manifest) -> None:
    """Refuse before long work what no reader of the bundle would take."""
    if problem := next(canvas_problems(draft.input), None):
        raise InputError(f"{problem}; choose a smaller input size")
    for spec in (draft.input, draft.decode, draft.blend, draft.panoptic):
        if spec is not None:
            try:
                msgspec.convert(msgspec.to_builtins(spec), type(spec))
            except msgspec.ValidationError as error:
                raise ConfigError(
                    f"{draft.source.config}: a value is not one that bundles take: {error}"
                ) from None


def _input_spec(config: ModelConfig, options: ConvertOptions) -> InputSpec:
    size = (config.input.min_size, config.input.max_size)
    if options.input_size is not None:
        size = check_size("input_size", options.input_size, _SMALLEST_SIDE, _LARGEST_SIDE)
    mean = config.input.pixel_mean
    return InputSpec(
        height=None if options.dynamic else size[0],
        width=None if options.dynamic else size[1],
        min_size=config.input.min_size,
        max_size=config.input.max_size,
        pad_value=(_byte(mean[0]), _byte(mean[1]), _byte(mean[2])),
    )


def _byte(value: float) -> int:
    return min(max(round(value), 0), 255)
