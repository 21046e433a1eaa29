"""What a config says about the network, part by part, as immutable data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class ResNetConfig:
    """A ResNet of bottleneck blocks; its stages are ``res2`` to ``res5``."""

    depth: int
    norm: str
    """How its batch norms were trained; at inference all kinds compute the same."""
    stride_in_1x1: bool
    """Whether a bottleneck's stride sits in its first 1x1 (else in its 3x3)."""
    deform_stages: tuple[bool, ...]
    """For res2..res5: whether the stage has modulated deformable convolutions."""
    deform_interval: int
    """In such a stage the blocks 0, i, 2i, ... are deformable."""
    freeze_at: int = 2
    """Training: the stem (1) and so many stages are left as they are."""

    stage_prefix: ClassVar[str] = "res"


@dataclass(frozen=True, slots=True)
class DLAConfig:
    """A DLA-34; its stages are ``level2`` to ``level5``."""

    norm: str
    freeze_at: int = 2

    stage_prefix: ClassVar[str] = "level"


@dataclass(frozen=True, slots=True)
class EfficientNetLiteConfig:
    """An EfficientNet-Lite0; its stages are ``stage2`` to ``stage5``."""

    norm: str
    freeze_at: int = 2

    stage_prefix: ClassVar[str] = "stage"


BackboneConfig = ResNetConfig | DLAConfig | EfficientNetLiteConfig


@dataclass(frozen=True, slots=True)
class FPNConfig:
    """The feature pyramid: P<n> has stride 2**n."""

    in_features: tuple[str, ...]
    """Backbone stages, finest first, the last with stride 32."""
    out_channels: int
    top_levels: int
    """Levels above P5: 2 is P6 and P7, 1 is P6."""


@dataclass(frozen=True, slots=True)
class FCOSConfig:
    """The detection head and the decoding of what it predicts."""

    in_features: tuple[str, ...]
    strides: tuple[int, ...]
    num_classes: int
    norm: str
    """``GN``, ``none``, or ``BN`` / ``SyncBN``: one batch norm for each level."""
    num_cls_convs: int
    num_box_convs: int
    num_share_convs: int
    use_scale: bool
    """Whether the box branch has one learned factor for each level."""
    threshold_with_centerness: bool
    score_threshold: float
    nms_threshold: float
    pre_nms_top_k: int
    max_detections: int
    prior_prob: float
    """Training starts with every class at this probability."""
    sizes_of_interest: tuple[int, ...]
    """Training: upper bounds, in network pixels, of the levels' ranges of sizes; the last is open."""
    center_sample: bool
    pos_radius: float
    loc_loss_type: str


@dataclass(frozen=True, slots=True)
class BasisConfig:
    """The module that predicts the bases, at stride 4."""

    in_features: tuple[str, ...]
    num_bases: int
    convs_dim: int
    num_convs: int
    norm: str
    loss_on: bool
    """Training: whether a semantic head is trained beside the bases."""
    loss_weight: float
    num_semantic_classes: int
    """Training: things the semantic head tells apart."""


@dataclass(frozen=True, slots=True)
class BlendConfig:
    """How attention and bases become masks."""

    attention_size: int
    attention_interpolation: Literal["bilinear", "nearest"]
    mask_size: int


@dataclass(frozen=True, slots=True)
class SemanticConfig:
    """The semantic branch of a panoptic model, at stride 4."""

    in_features: tuple[str, ...]
    num_classes: int
    convs_dim: int


@dataclass(frozen=True, slots=True)
class PanopticConfig:
    """How instances and the semantic map are combined."""

    overlap_threshold: float
    stuff_area_limit: int
    instance_score_threshold: float


@dataclass(frozen=True, slots=True)
class InputConfig:
    """What the network was trained to see: BGR, ``(value - mean) / std``."""

    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    min_size: int
    """The short side is scaled to this ..."""
    max_size: int
    """... unless the long side would pass this."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One BlendMask model.

    ``semantic`` and ``panoptic`` are both there or both None: a config is panoptic when
    ``MODEL.PANOPTIC_FPN.COMBINE.ENABLED`` is true, and then, and only then, its checkpoints hold the semantic
    branch (``panoptic_module.*``).
    """

    name: str
    """The published name, or the file's name without its ending."""
    backbone: BackboneConfig
    fpn: FPNConfig
    fcos: FCOSConfig
    basis: BasisConfig
    blend: BlendConfig
    semantic: SemanticConfig | None
    panoptic: PanopticConfig | None
    input: InputConfig
