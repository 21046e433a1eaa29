"""The parameters of one model that inference needs, as they stand in a bundle's manifest.

Every struct is frozen and strict: an unknown field is an error. Coordinates are in *network pixels*
(the canvas the graphs see) unless a name says *frame pixels* (the picture the caller handed in).
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all manifest structs: immutable, and strict about unknown fields."""


class LevelSpec(Struct, frozen=True):
    """One pyramid level that the FCOS head looks at."""

    name: str
    """Such as ``p3``."""
    stride: int
    """Network pixels a cell."""


class InputSpec(Struct, frozen=True):
    """What the detector graph takes: (1, H, W, 3) uint8 BGR, and how a frame becomes that."""

    height: int | None
    """Canvas height in pixels; None in a dynamic bundle."""
    width: int | None
    min_size: int
    """A dynamic bundle scales the short side to this ..."""
    max_size: int
    """... unless the long side would pass this."""
    pad_value: tuple[int, int, int]
    """BGR bytes nearest the pixel mean; they fill what a letterboxed frame leaves free."""

    @property
    def dynamic(self) -> bool:
        """Whether the canvas follows the frame."""
        return self.height is None


class DecodeSpec(Struct, frozen=True):
    """How head outputs become detections; the fields follow the config's ``MODEL.FCOS`` keys."""

    levels: tuple[LevelSpec, ...]
    num_classes: int
    score_threshold: float
    """INFERENCE_TH_TEST, on the product of class probability and centerness."""
    threshold_with_centerness: bool
    """THRESH_WITH_CTR; False: the threshold looks at the class probability alone."""
    nms_threshold: float
    pre_nms_top_k: int
    """Candidates kept on each level."""
    max_detections: int


class BlendSpec(Struct, frozen=True):
    """How bases and attention become masks; the fields follow the config's ``MODEL.BLENDMASK`` keys."""

    num_bases: int
    """K."""
    attention_size: int
    """M: an instance's attention is (K, M, M)."""
    attention_interpolation: Literal["bilinear", "nearest"]
    """TOP_INTERP: how attention grows from M x M to R x R."""
    mask_size: int
    """R: a mask is (R, R) probabilities over its box."""
    basis_stride: int
    """Network pixels a cell of the bases; RoIAlign's scale is one over it."""


class PanopticSpec(Struct, frozen=True):
    """How instances and the semantic map combine; the fields follow ``MODEL.PANOPTIC_FPN.COMBINE``."""

    overlap_threshold: float
    stuff_area_limit: int
    instance_score_threshold: float
