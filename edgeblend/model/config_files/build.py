"""From checked values to a :class:`ModelConfig`; refuses values that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from itertools import pairwise
from typing import Any

from edgeblend.errors import ConfigError
from edgeblend.model.config_files.schema import (
    BackboneConfig,
    BasisConfig,
    BlendConfig,
    DLAConfig,
    EfficientNetLiteConfig,
    FCOSConfig,
    FPNConfig,
    InputConfig,
    ModelConfig,
    PanopticConfig,
    ResNetConfig,
    SemanticConfig,
)

_GROUPS = 32
"""Every group norm has 32 groups."""


def build_config(name: str, values: Mapping[str, Any], given: Set[str]) -> ModelConfig:
    """Return the config of `values`; `given` are the keys that a file has set.

    Raises:
        ConfigError: lists every contradiction.
    """
    model = {key.removeprefix("MODEL."): value for key, value in values.items()}
    if "MODEL.FCOS.SIZES_OF_INTEREST" not in given:
        # Only training reads it; the default is for five levels, and follows the number of levels.
        model["FCOS.SIZES_OF_INTEREST"] = tuple(64 << i for i in range(len(model["FCOS.IN_FEATURES"]) - 1))
    panoptic = model["PANOPTIC_FPN.COMBINE.ENABLED"]
    config = ModelConfig(
        name=name,
        backbone=BACKBONES[model["BACKBONE.NAME"]](model),
        fpn=FPNConfig(model["FPN.IN_FEATURES"], model["FPN.OUT_CHANNELS"], model["FCOS.TOP_LEVELS"]),
        fcos=_fcos(model),
        basis=_basis(model),
        blend=_blend(model),
        semantic=_semantic(model) if panoptic else None,
        panoptic=_panoptic(model) if panoptic else None,
        input=_input(model),
    )
    problems = [
        *_input_problems(config),
        *_deform_problems(config, modulated=model["RESNETS.DEFORM_MODULATED"]),
        *_pyramid_problems(config),
        *_head_problems(config),
    ]
    if problems:
        raise ConfigError(f"The config {name} contradicts itself: {'; '.join(problems)}.")
    return config


def _resnet(model: Mapping[str, Any]) -> ResNetConfig:
    return ResNetConfig(
        depth=model["RESNETS.DEPTH"],
        norm=model["RESNETS.NORM"],
        stride_in_1x1=model["RESNETS.STRIDE_IN_1X1"],
        deform_stages=model["RESNETS.DEFORM_ON_PER_STAGE"],
        deform_interval=model["RESNETS.DEFORM_INTERVAL"],
        freeze_at=_freeze_at(model),
    )


def _freeze_at(model: Mapping[str, Any]) -> int:
    """-1, as published, freezes nothing, like 0."""
    return max(0, int(model["BACKBONE.FREEZE_AT"]))


BACKBONES: dict[str, Callable[[Mapping[str, Any]], BackboneConfig]] = {
    "build_fcos_resnet_fpn_backbone": _resnet,
    "build_fcos_dla_fpn_backbone": lambda model: DLAConfig(
        norm=model["DLA.NORM"], freeze_at=_freeze_at(model)
    ),
    "build_fcos_efficientnet_lite_fpn_backbone": lambda model: EfficientNetLiteConfig(
        norm=model["EFFICIENTNET_LITE.NORM"], freeze_at=_freeze_at(model)
    ),
}
"""``MODEL.BACKBONE.NAME`` to the reader of its section; ``backbones.registry`` has the builders."""


def _fcos(model: Mapping[str, Any]) -> FCOSConfig:
    return FCOSConfig(
        in_features=model["FCOS.IN_FEATURES"],
        strides=model["FCOS.FPN_STRIDES"],
        num_classes=model["FCOS.NUM_CLASSES"],
        norm=model["FCOS.NORM"],
        num_cls_convs=model["FCOS.NUM_CLS_CONVS"],
        num_box_convs=model["FCOS.NUM_BOX_CONVS"],
        num_share_convs=model["FCOS.NUM_SHARE_CONVS"],
        use_scale=model["FCOS.USE_SCALE"],
        threshold_with_centerness=model["FCOS.THRESH_WITH_CTR"],
        score_threshold=model["FCOS.INFERENCE_TH_TEST"],
        nms_threshold=model["FCOS.NMS_TH"],
        pre_nms_top_k=model["FCOS.PRE_NMS_TOPK_TEST"],
        max_detections=model["FCOS.POST_NMS_TOPK_TEST"],
        prior_prob=model["FCOS.PRIOR_PROB"],
        sizes_of_interest=model["FCOS.SIZES_OF_INTEREST"],
        center_sample=model["FCOS.CENTER_SAMPLE"],
        pos_radius=model["FCOS.POS_RADIUS"],
        loc_loss_type=model["FCOS.LOC_LOSS_TYPE"],
    )


def _basis(model: Mapping[str, Any]) -> BasisConfig:
    return BasisConfig(
        in_features=model["BASIS_MODULE.IN_FEATURES"],
        num_bases=model["BASIS_MODULE.NUM_BASES"],
        convs_dim=model["BASIS_MODULE.CONVS_DIM"],
        num_convs=model["BASIS_MODULE.NUM_CONVS"],
        norm=model["BASIS_MODULE.NORM"],
        loss_on=model["BASIS_MODULE.LOSS_ON"],
        loss_weight=model["BASIS_MODULE.LOSS_WEIGHT"],
        num_semantic_classes=model["BASIS_MODULE.NUM_CLASSES"],
    )


def _blend(model: Mapping[str, Any]) -> BlendConfig:
    return BlendConfig(
        attention_size=model["BLENDMASK.ATTN_SIZE"],
        attention_interpolation=model["BLENDMASK.TOP_INTERP"],
        mask_size=model["BLENDMASK.BOTTOM_RESOLUTION"],
    )


def _semantic(model: Mapping[str, Any]) -> SemanticConfig:
    return SemanticConfig(
        in_features=model["SEM_SEG_HEAD.IN_FEATURES"],
        num_classes=model["SEM_SEG_HEAD.NUM_CLASSES"],
        convs_dim=model["SEM_SEG_HEAD.CONVS_DIM"],
    )


def _panoptic(model: Mapping[str, Any]) -> PanopticConfig:
    return PanopticConfig(
        overlap_threshold=model["PANOPTIC_FPN.COMBINE.OVERLAP_THRESH"],
        stuff_area_limit=model["PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT"],
        instance_score_threshold=model["PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH"],
    )


def _input(model: Mapping[str, Any]) -> InputConfig:
    return InputConfig(
        pixel_mean=model["PIXEL_MEAN"],
        pixel_std=model["PIXEL_STD"],
        min_size=model["INPUT.MIN_SIZE_TEST"],
        max_size=model["INPUT.MAX_SIZE_TEST"],
    )


def _input_problems(config: ModelConfig) -> Iterator[str]:
    short, long = config.input.min_size, config.input.max_size
    if short > long:
        yield f"INPUT.MIN_SIZE_TEST {short} is more than INPUT.MAX_SIZE_TEST {long}"
    for key, values in (("PIXEL_MEAN", config.input.pixel_mean), ("PIXEL_STD", config.input.pixel_std)):
        if len(values) != 3:
            yield f"MODEL.{key} has {len(values)} values instead of 3 (blue, green, red)"


def _deform_problems(config: ModelConfig, *, modulated: bool) -> Iterator[str]:
    if not isinstance(config.backbone, ResNetConfig):
        return
    stages = config.backbone.deform_stages
    if len(stages) != 4:
        yield f"MODEL.RESNETS.DEFORM_ON_PER_STAGE has {len(stages)} values instead of 4 (res2 to res5)"
    if any(stages) and not modulated:
        yield (
            "MODEL.RESNETS.DEFORM_ON_PER_STAGE is on with DEFORM_MODULATED off; only modulated deformable"
            " convolution (DCNv2) is supported, set DEFORM_MODULATED to True if the checkpoint has it"
        )


def _pyramid_problems(config: ModelConfig) -> Iterator[str]:
    prefix, stages = config.backbone.stage_prefix, config.fpn.in_features
    allowed = [tuple(f"{prefix}{n}" for n in range(first, 6)) for first in (2, 3)]
    if stages not in allowed:
        yield (
            f"MODEL.FPN.IN_FEATURES is {_listed(stages)}; with this backbone supported are"
            f" {' or '.join(_listed(names) for names in allowed)}"
        )
        return
    made = [f"p{n}" for n in range(int(stages[0][-1]), 6 + config.fpn.top_levels)]
    wanted = {"FCOS": config.fcos.in_features, "BASIS_MODULE": config.basis.in_features}
    if config.semantic is not None:
        wanted["SEM_SEG_HEAD"] = config.semantic.in_features
    for section, names in wanted.items():
        yield from _feature_problems(section, names, made)
    if config.basis.in_features[:1] != ("p3",):
        yield "MODEL.BASIS_MODULE.IN_FEATURES must begin with p3, for bases at stride 4"


def _feature_problems(section: str, names: tuple[str, ...], made: list[str]) -> Iterator[str]:
    if not names or len(set(names)) != len(names):
        yield f"MODEL.{section}.IN_FEATURES is {_listed(names)}; expected one or more names, each once"
    if absent := [name for name in names if name not in made]:
        yield (
            f"MODEL.{section}.IN_FEATURES wants {_listed(absent)}, but FPN.IN_FEATURES and"
            f" FCOS.TOP_LEVELS make {_listed(made)}"
        )


def _head_problems(config: ModelConfig) -> Iterator[str]:
    fcos = config.fcos
    if len(fcos.strides) != len(fcos.in_features):
        yield (
            f"MODEL.FCOS.FPN_STRIDES has {len(fcos.strides)} values for {len(fcos.in_features)} levels in"
            " MODEL.FCOS.IN_FEATURES"
        )
    elif not _strides_fit(fcos):
        yield (
            f"MODEL.FCOS.FPN_STRIDES is {_listed(fcos.strides)} for {_listed(fcos.in_features)};"
            " p<n> has stride 2**n, and each level doubles it"
        )
    if len(fcos.sizes_of_interest) != len(fcos.in_features) - 1:
        yield (
            f"MODEL.FCOS.SIZES_OF_INTEREST has {len(fcos.sizes_of_interest)} values;"
            f" {len(fcos.in_features)} levels need {len(fcos.in_features) - 1}"
        )
    if any(b <= a for a, b in pairwise(fcos.sizes_of_interest)):
        yield f"MODEL.FCOS.SIZES_OF_INTEREST {_listed(fcos.sizes_of_interest)} does not rise"
    grouped = {"FPN.OUT_CHANNELS": config.fpn.out_channels} if fcos.norm == "GN" else {}
    if config.semantic is not None:
        grouped["SEM_SEG_HEAD.CONVS_DIM"] = config.semantic.convs_dim
    for key, channels in grouped.items():
        if channels % _GROUPS:
            yield f"MODEL.{key} {channels} cannot be cut into the {_GROUPS} groups of a group norm"


def _strides_fit(fcos: FCOSConfig) -> bool:
    doubles = all(coarse == 2 * fine for fine, coarse in pairwise(fcos.strides))
    powers = all(stride.bit_count() == 1 for stride in fcos.strides)
    return doubles and powers and fcos.in_features == tuple(f"p{s.bit_length() - 1}" for s in fcos.strides)


def _listed(names: object) -> str:
    return ", ".join(map(str, names)) if isinstance(names, tuple | list) else str(names)
