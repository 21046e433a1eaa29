"""Names and category ids of the COCO data set, which the published checkpoints were trained on."""

from __future__ import annotations

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


def category_ids(class_names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the COCO category id of each class: COCO's own for its 80 names, else index + 1."""
    return COCO_THING_IDS if class_names == COCO_THINGS else tuple(range(1, len(class_names) + 1))
