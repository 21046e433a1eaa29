"""What a conversion was asked for, and everything of its manifest that is decided before the export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args

import msgspec

from edgeblend.arguments.checks import check_flag, check_size, check_text
from edgeblend.arguments.choices import check_choice
from edgeblend.class_list import ClassList
from edgeblend.converters.model_classes import ModelClasses, choose_classes
from edgeblend.converters.opened import OpenGraph, OpenNetwork
from edgeblend.converters.split import AttentionMode
from edgeblend.errors import ConfigError, InputError
from edgeblend.manifest import (
    SCHEMA_VERSION,
    AttentionSpec,
    GraphSpec,
    Manifest,
    Part,
    SourceSpec,
    VerificationSpec,
)
from edgeblend.manifest_checks import canvas_problems
from edgeblend.model.config import ModelConfig, blend_spec, decode_spec, panoptic_spec
from edgeblend.runtime.attention import AttentionLayer
from edgeblend.spec import BlendSpec, DecodeSpec, InputSpec, PanopticSpec

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
    """The classes as far as the caller named them."""
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """The part of a bundle's manifest that is decided before anything is read or exported."""

    options: ConvertOptions
    config: str
    """The published name of the config, or the name of its file without folders."""
    input: InputSpec
    decode: DecodeSpec
    blend: BlendSpec
    panoptic: PanopticSpec | None
    classes: ModelClasses

    def network(self, graphs: Mapping[Part, OpenGraph], attention: AttentionLayer | None) -> OpenNetwork:
        """Return a network that runs these graphs as the bundle will."""
        return OpenNetwork(
            input=self.input,
            decode=self.decode,
            blend=self.blend,
            things=self.classes.things,
            category_ids=self.classes.category_ids,
            attention=attention,
            open_graphs=graphs,
        )

    def manifest(
        self,
        *,
        checkpoint: str,
        checkpoint_sha256: str,
        graphs: Mapping[Part, GraphSpec],
        attention: AttentionSpec,
        verification: VerificationSpec,
        tools: Mapping[str, str],
        notes: tuple[str, ...] = (),
    ) -> Manifest:
        """Return the manifest of a float bundle.

        Args:
            checkpoint: name of the checkpoint's file, without folders.
            checkpoint_sha256: its digest, in hex.
            graphs: the graphs as they were written.
            attention: where the attention of a detection comes from.
            verification: how far the graphs are from torch.
            tools: versions of what exported them; edgeblend's own is added.
            notes: what reading the checkpoint assumed; what naming the classes assumed is added.
        """
        return Manifest(
            schema_version=SCHEMA_VERSION,
            target=self.options.target,
            source=SourceSpec(config=self.config, checkpoint=checkpoint, checkpoint_sha256=checkpoint_sha256),
            input=self.input,
            things=self.classes.things,
            category_ids=self.classes.category_ids,
            stuff=self.classes.stuff,
            decode=self.decode,
            attention=attention,
            blend=self.blend,
            panoptic=self.panoptic,
            graphs=dict(graphs),
            tools={"edgeblend": version("edgeblend"), **tools},
            verification=verification,
            quantization=None,
            notes=(*self.classes.notes, *notes),
        )


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


def plan_conversion(config: ModelConfig, name: str, options: ConvertOptions) -> ConversionPlan:
    """Decide everything that the model and the options alone decide.

    Args:
        config: the model.
        name: the published name or YAML path that the caller gave.
        options: what was asked for; :func:`check_options` has accepted them.

    Raises:
        InputError: the class names do not fit the model, or are needed and missing; or the canvas is larger
            than bundles allow.
        ConfigError: the semantic classes are not COCO's, or a value is outside the range that bundles allow.
    """
    plan = ConversionPlan(
        options=options,
        config=Path(name).name if name.endswith((".yaml", ".yml")) else name,
        input=_input_spec(config, options),
        decode=decode_spec(config),
        blend=blend_spec(config),
        panoptic=panoptic_spec(config),
        classes=choose_classes(config, options.classes),
    )
    _check_limits(plan)
    return plan


def _check_limits(plan: ConversionPlan) -> None:
    """Refuse before long work what no reader of the bundle would accept."""
    if problem := next(canvas_problems(plan.input), None):
        raise InputError(f"{problem}; choose a smaller input size")
    for spec in (plan.input, plan.decode, plan.blend, plan.panoptic):
        if spec is not None:
            try:
                msgspec.convert(msgspec.to_builtins(spec), type(spec))
            except msgspec.ValidationError as error:
                raise ConfigError(f"{plan.config}: a value is not one that bundles take: {error}") from None


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
