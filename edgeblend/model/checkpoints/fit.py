"""Whether a checkpoint's parameters are those of a network; if not, what to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache

from torch import Tensor

from edgeblend.errors import CheckpointError
from edgeblend.model.blendmask import expected_shapes
from edgeblend.model.checkpoints.names import ROOTS, listed
from edgeblend.model.config import NAMED, load_config

Shape = tuple[int, ...]

NORMALISATION = ("pixel_mean", "pixel_std")
_TRAINING_ONLY = "basis_module.seg_head."

_CLASSES = {
    "proposal_generator.fcos_head.cls_logits.": "MODEL.FCOS.NUM_CLASSES",
    "panoptic_module.predictor.": "MODEL.SEM_SEG_HEAD.NUM_CLASSES",
}
"""Parameters that have one row per class, and the key that says how many."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint's parameters are not those of the network; the message names a few, the attributes all."""

    def __init__(
        self,
        message: str,
        *,
        # Defaults, so that the text alone makes the same class again, as pickle and copy do.
        missing: tuple[str, ...] = (),
        unexpected: tuple[str, ...] = (),
        mismatched: tuple[tuple[str, Shape, Shape], ...] = (),
    ) -> None:
        super().__init__(message)
        self.missing = missing
        self.unexpected = unexpected
        self.mismatched = mismatched
        """Name, the shape the network has, the shape in the checkpoint."""


def for_inference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters without those that only training reads."""
    return {
        name: tensor
        for name, tensor in state.items()
        if name not in NORMALISATION
        and not name.startswith(_TRAINING_ONLY)
        and not name.endswith("num_batches_tracked")
    }


def matching_configs(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the named configs whose networks have exactly these parameters."""
    shapes = {name: tuple(tensor.shape) for name, tensor in for_inference(state).items()}
    return tuple(name for name in NAMED if _published_shapes(name) == shapes)


@cache
def _published_shapes(name: str) -> dict[str, Shape]:
    return expected_shapes(load_config(name))


def mismatch(
    weights: Mapping[str, Tensor], expected: Mapping[str, Shape], config: str, source: str
) -> CheckpointMismatchError:
    """Return the error that says what does not fit, and what to do."""
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    missing = tuple(name for name in expected if name not in shapes)
    unexpected = tuple(name for name in shapes if name not in expected)
    mismatched = tuple(
        (name, expected[name], shape)
        for name, shape in shapes.items()
        if name in expected and shape != expected[name]
    )
    parts = []
    if missing:
        parts.append(f"{len(missing)} missing: {listed(missing)}")
    if unexpected:
        parts.append(f"{len(unexpected)} unexpected: {listed(unexpected)}")
    if mismatched:
        pairs = [f"{name} is {_by(actual)} instead of {_by(want)}" for name, want, actual in mismatched]
        parts.append(f"{len(mismatched)} of another shape: {listed(pairs, most=2)}")
    return CheckpointMismatchError(
        f"{source} does not fit the config {config}; {_advice(shapes, expected)}; {'; '.join(parts)}.",
        missing=missing,
        unexpected=unexpected,
        mismatched=mismatched,
    )


def _advice(shapes: Mapping[str, Shape], expected: Mapping[str, Shape]) -> str:
    if not any(name.partition(".")[0] in ROOTS for name in shapes):
        prefix = os.path.commonprefix([name.split(".")[:-1] for name in shapes])
        named = (
            f"its names begin with '{'.'.join(prefix)}.'" if prefix else "none of its names is a BlendMask's"
        )
        return f"{named}: give a BlendMask's checkpoint"
    if shapes.keys() == expected.keys() and (counts := _class_counts(shapes, expected)):
        return "; ".join(counts)
    if fits := [name for name in NAMED if _published_shapes(name) == shapes]:
        return f"its parameters fit: {', '.join(fits)}"
    like = {name: _published_shapes(name) for name in NAMED}
    if fits := [name for name, wanted in like.items() if _class_counts(shapes, wanted)]:
        return f"apart from the number of classes its parameters fit: {', '.join(fits)}"
    return "give the config it was trained with"


def _class_counts(shapes: Mapping[str, Shape], expected: Mapping[str, Shape]) -> list[str]:
    """What to set where only the numbers of classes differ; empty where anything else does."""
    if shapes.keys() != expected.keys():
        return []
    advice: dict[str, str] = {}
    for name, wanted in expected.items():
        actual = shapes[name]
        if actual == wanted:
            continue
        key = next((key for start, key in _CLASSES.items() if name.startswith(start)), None)
        if key is None or actual[1:] != wanted[1:] or len(actual) != len(wanted):
            return []
        found, asked = actual[0], wanted[0]
        advice[key] = f"the checkpoint has {found} classes and the config says {asked}: set {key} to {found}"
    return list(advice.values())


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
