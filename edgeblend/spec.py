"""The parameters of one model that inference needs, as they stand in a bundle's manifest.

Every struct is frozen and strict: an unknown field is an error. Coordinates are in *network pixels*
(the canvas the graphs see) unless a name says *frame pixels* (the picture the caller handed in).

Ranges are declared where a value is, so that reading refuses others and the published JSON schema has them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LARGEST_SIDE = 8192
"""Largest side of a canvas, in network pixels."""
LARGEST_CANVAS = 1 << 25
"""Network pixels of a canvas: 8K fits. What a wrong manifest asks for is refused before memory is taken."""
LARGEST_MASKS = 1 << 26
"""Largest number of values of all masks of a frame: 256 MiB in float32."""

Name = Annotated[str, Meta(min_length=1, max_length=1024)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Pixels = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Side = Annotated[int, Meta(ge=1, le=LARGEST_SIDE)]
Byte = Annotated[int, Meta(ge=0, le=255)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all manifest structs: immutable, and strict about unknown fields."""


class LevelSpec(Struct, frozen=True):
    """One pyramid level that the FCOS head looks at."""

    name: Annotated[str, Meta(pattern="^p[0-9]{1,2}$", max_length=3)]
    """Such as ``p3``: the level pN has stride 2**N."""
    stride: Annotated[int, Meta(ge=1, le=LARGEST_SIDE)]
    """Network pixels per cell."""


class InputSpec(Struct, frozen=True):
    """What the detector graph takes: (1, H, W, 3) uint8 BGR, and how a frame becomes that."""

    height: Side | None
    """Canvas height in pixels; None in a dynamic bundle."""
    width: Side | None
    min_size: Pixels
    """A dynamic bundle scales the short side to this ..."""
    max_size: Pixels
    """... unless the long side would pass this."""
    pad_value: tuple[Byte, Byte, Byte]
    """BGR bytes nearest the pixel mean; they fill what a letterboxed frame leaves free."""

    @property
    def dynamic(self) -> bool:
        """Whether the canvas follows the frame."""
        return self.height is None


class DecodeSpec(Struct, frozen=True):
    """How head outputs become detections; the fields follow the config's ``MODEL.FCOS`` keys."""

    levels: Annotated[tuple[LevelSpec, ...], Meta(min_length=1)]
    num_classes: Annotated[int, Meta(ge=1, le=1_000_000)]
    score_threshold: Annotated[float, Meta(ge=0, lt=1)]
    """INFERENCE_TH_TEST, on the product of class probability and centerness."""
    threshold_with_centerness: bool
    """THRESH_WITH_CTR; False: the threshold looks at the class probability alone."""
    nms_threshold: Fraction
    pre_nms_top_k: Annotated[int, Meta(ge=1, le=100_000)]
    """Candidates kept on each level."""
    max_detections: Annotated[int, Meta(ge=1, le=10_000)]


class BlendSpec(Struct, frozen=True):
    """How bases and attention become masks; the fields follow the config's ``MODEL.BLENDMASK`` keys."""

    num_bases: Annotated[int, Meta(ge=1, le=1024)]
    """K, the number of bases."""
    attention_size: Annotated[int, Meta(ge=1, le=1024)]
    """M: an instance's attention is (K, M, M)."""
    attention_interpolation: Literal["bilinear", "nearest"]
    """TOP_INTERP: how attention grows from M x M to R x R."""
    mask_size: Annotated[int, Meta(ge=1, le=1024)]
    """R: a mask is (R, R) probabilities over its box."""
    basis_stride: Literal[4]
    """Network pixels per cell of the bases; RoIAlign's scale is one over it."""


class PanopticSpec(Struct, frozen=True):
    """How instances and the semantic map combine; the fields follow ``MODEL.PANOPTIC_FPN.COMBINE``."""

    overlap_threshold: Fraction
    stuff_area_limit: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    """Smallest area of a stuff segment, in frame pixels."""
    instance_score_threshold: Fraction
