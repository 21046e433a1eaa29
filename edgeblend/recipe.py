"""Quantization recipes: small JSON files that say how a float bundle becomes an integer one.

A recipe is strict: an unknown key is an error. What it was is kept in the manifest of the bundle it made.
"""

from __future__ import annotations

from typing import Literal

from edgeblend.spec import Name, Struct

PartPrecision = Literal["int8", "fp16", "fp32"]
"""How a part's weights are stored; an ``int8`` part is computed in integers, but for layers kept in float."""

FloatRole = Literal["cls_logits", "box_reg", "centerness", "attention", "bases"]
"""Outputs whose last convolutions can be kept in float."""


class Recipe(Struct, frozen=True):
    """How to quantize; every field but the name has a default that suits BlendMask."""

    name: Name
    toolkit: Name | None = None
    """Name of the toolkit that quantizes; None takes the one for the bundle's target."""
    activations: Literal["symmetric", "asymmetric"] = "asymmetric"
    """Asymmetric ranges have a zero point of their own. Weights are symmetric."""
    per_channel: bool = True
    """Whether each output channel of a weight has a scale of its own."""
    overflow_safe: bool = True
    """Use half of the weights' range (7 bits), so that pairs of products fit 16 bits: x86 processors without
    VNNI add them in 16 bits and saturate. It costs little where that cannot happen."""
    bias_correction: Literal["none", "fast", "accurate"] = "accurate"
    """What quantization adds to a layer's mean output is taken off its bias. ``fast`` judges each layer by
    the mean of its input, ``accurate`` by its outputs, on what the layers before it really give."""
    range_estimator: Literal["minmax", "mean_minmax", "median_minmax", "mean_no_outliers", "histogram"] = (
        "minmax"
    )
    """How the range of an activation follows from those of single frames. Means clip what few frames have: a
    channel of a depthwise convolution that seldom speaks, but then loudly."""
    detector: PartPrecision = "int8"
    basis: PartPrecision = "int8"
    float_roles: tuple[FloatRole, ...] = ()
    """Keep the convolutions that give these outputs in float, of those that a bundle has."""
    float_below_db: dict[Literal["detector", "basis"], float] = {}
    """Quantize each layer of these graphs alone, and keep those in float that leave the graph's outputs less
    than this above the noise; ``edgeblend sensitivity`` shows the same figures."""
    float_layers: tuple[Name, ...] = ()
    """Keep these layers in float: names as in the checkpoint, with ``*`` for any part of a name. One that
    matches no layer is an error."""
