"""What a conversion was asked for, and the manifest as far as that alone decides it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from edgeblend.classes import COCO_STUFF, COCO_THINGS
from edgeblend.converters.split import AttentionMode
from edgeblend.converters.verify import TOLERANCES
from edgeblend.errors import ConfigError, InputError
from edgeblend.manifest import SCHEMA_VERSION, AttentionSpec, Manifest, SourceSpec, VerificationSpec
from edgeblend.manifest_checks import canvas_problems
from edgeblend.model.config import ModelConfig, blend_spec, decode_spec, panoptic_spec
from edgeblend.spec import InputSpec

Precision = Literal["fp32", "fp16", "int8-dynamic"]


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """Everything that a conversion can be told besides what to convert."""

    target: str = "openvino"
    precision: Precision = "fp32"
    input_size: tuple[int, int] | None = None
    """(height, width) of the canvas; None: the config's test size, landscape."""
    dynamic: bool = False
    attention: AttentionMode = "sparse"
    class_names: tuple[str, ...] | None = None
    overwrite: bool = False


def check_options(options: ConvertOptions) -> None:
    """Refuse options that are not valid, or contradict each other, with an InputError."""
    if options.precision not in TOLERANCES:
        raise InputError(f"unknown precision {options.precision!r}; choose one of {', '.join(TOLERANCES)}")
    if options.attention not in ("sparse", "dense"):
        raise InputError(f"unknown attention {options.attention!r}; choose 'sparse' or 'dense'")
    if options.dynamic and options.input_size is not None:
        raise InputError("a dynamic bundle has no input size: give one or the other")
    if options.input_size is not None:
        sizes = tuple(options.input_size)
        if len(sizes) != 2 or not all(isinstance(side, int) and 32 <= side <= 8192 for side in sizes):
            raise InputError(f"input size {sizes} is not (height, width) of 32 to 8192 pixels each")


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
    draft = Manifest(
        schema_version=SCHEMA_VERSION,
        target=options.target,
        source=SourceSpec(
            config=Path(name).name if name.endswith((".yaml", ".yml")) else name,
            checkpoint=checkpoint.name,
            checkpoint_sha256="0" * 64,
        ),
        input=_input_spec(config, options),
        things=_thing_names(config, options),
        stuff=_stuff_names(config),
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
    size = options.input_size or (config.input.min_size, config.input.max_size)
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


def _thing_names(config: ModelConfig, options: ConvertOptions) -> tuple[str, ...]:
    count = config.fcos.num_classes
    if options.class_names is not None:
        names = options.class_names
        if len(names) != count or len(set(names)) != count or not all(names):
            raise InputError(f"expected {count} different class names, got {len(names)}: {', '.join(names)}")
        return names
    if count == len(COCO_THINGS):
        return COCO_THINGS
    if count == 1 and config.name.startswith("Person"):
        return ("person",)
    raise InputError(
        f"the model has {count} classes and not COCO's {len(COCO_THINGS)}: give their names (--class-names)"
    )


def _stuff_names(config: ModelConfig) -> tuple[str, ...]:
    if config.semantic is None:
        return ()
    if config.semantic.num_classes != len(COCO_STUFF):
        raise ConfigError(
            f"{config.semantic.num_classes} semantic classes are not supported, "
            f"only the {len(COCO_STUFF)} of COCO panoptic"
        )
    return COCO_STUFF
