"""Names and category ids of COCO's classes, which published checkpoints know, and what any ids must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

# fmt: off
COCO_THINGS: tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)
"""The 80 instance classes, by the class index a COCO model predicts."""

COCO_STUFF: tuple[str, ...] = (
    "things",
    "banner", "blanket", "bridge", "cardboard", "counter", "curtain", "door-stuff", "floor-wood", "flower",
    "fruit", "gravel", "house", "light", "mirror-stuff", "net", "pillow", "platform", "playingfield",
    "railroad", "river", "road", "roof", "sand", "sea", "shelf", "snow", "stairs", "tent", "towel",
    "wall-brick", "wall-stone", "wall-tile", "wall-wood", "water-other", "window-blind", "window-other",
    "tree-merged", "fence-merged", "ceiling-merged", "sky-other-merged", "cabinet-merged", "table-merged",
    "floor-other-merged", "pavement-merged", "mountain-merged", "grass-merged", "dirt-merged", "paper-merged",
    "food-other-merged", "building-other-merged", "rock-merged", "wall-other-merged", "rug-merged",
)
"""What the semantic branch of a COCO panoptic model predicts: index 0 is any thing, then 53 stuff classes."""

COCO_STUFF_IDS: tuple[int, ...] = (
    92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147, 148, 149, 151,
    154, 155, 156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181, *range(184, 201),
)
"""COCO panoptic's category id of each stuff class; the id of ``COCO_STUFF[i]`` is ``[i - 1]``."""
# fmt: on

# COCO numbers 91 object classes, of which these were never annotated.
_UNUSED_THING_IDS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

COCO_THING_IDS: tuple[int, ...] = tuple(i for i in range(1, 91) if i not in _UNUSED_THING_IDS)
"""COCO's category id of each of ``COCO_THINGS``."""


SMALLEST_CATEGORY_ID, LARGEST_CATEGORY_ID = -(2**63), 2**63 - 1
"""Signed 64 bits: what JSON writers, NumPy and COCO's evaluation hold without rounding."""


def default_category_ids(class_names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the category id of each class where none is known: COCO's for its 80 names, else index + 1."""
    return COCO_THING_IDS if class_names == COCO_THINGS else tuple(range(1, len(class_names) + 1))


def category_ids_problem(ids: Sequence[int], num_classes: int) -> str | None:
    """Return what is wrong with the category ids of a model's classes, or None.

    They must be one whole number per class, all different, of at most 64 bits with sign.
    """
    if len(ids) != num_classes:
        return f"{len(ids)} category ids for {num_classes} classes"
    for category in ids:
        if isinstance(category, bool) or not isinstance(category, int):
            return f"the category id {category!r} is not a whole number"
        if not SMALLEST_CATEGORY_ID <= category <= LARGEST_CATEGORY_ID:
            bits = category.bit_length()  # of more than 4,300 digits Python makes no text
            shown = str(category) if bits <= 128 else f"of {bits} bits"
            return f"the category id {shown} does not fit into 64 bits"
    if repeated := [category for category, count in Counter(ids).items() if count > 1]:
        return f"the category id {repeated[0]} is given more than once"
    return None
