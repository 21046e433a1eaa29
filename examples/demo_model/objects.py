"""The classes of the demo data set, and which emoji pictures show each.

Every picture is a whole object, named as in the emoji package: by code points in hexadecimal.
"""

from __future__ import annotations

from edgeblend.classes import COCO_THING_IDS, COCO_THINGS

_SKIN_TONES = ("", "-1f3fb", "-1f3fc", "-1f3fd", "-1f3fe", "-1f3ff")
_GENDERS = ("", "-200d-2640-fe0f", "-200d-2642-fe0f")
_STANDING_WALKING_RUNNING = ("1f9cd", "1f6b6", "1f3c3")
_DANCING = ("1f483", "1f57a")

PERSON_PICTURES: tuple[str, ...] = (
    *(
        who + tone + gender
        for who in _STANDING_WALKING_RUNNING
        for tone in _SKIN_TONES
        for gender in _GENDERS
    ),
    *(who + tone for who in _DANCING for tone in _SKIN_TONES),
)

# fmt: off
CLASS_PICTURES: dict[str, tuple[str, ...]] = {
    "person": PERSON_PICTURES,
    "bicycle": ("1f6b2",),
    "car": ("1f697", "1f698", "1f695", "1f696", "1f699", "1f693", "1f694", "1f3ce-fe0f"),
    "motorcycle": ("1f3cd-fe0f", "1f6f5"),
    "airplane": ("2708-fe0f", "1f6e9-fe0f"),
    "bus": ("1f68c", "1f68d", "1f68e", "1f690"),
    "train": ("1f682", "1f683", "1f685", "1f686", "1f688", "1f68a"),
    "truck": ("1f69a", "1f69b", "1f6fb", "1f692"),
    "boat": ("26f5", "1f6a4", "1f6a2", "26f4-fe0f", "1f6e5-fe0f", "1f6f6"),
    "traffic light": ("1f6a5", "1f6a6"),
    "bird": ("1f426", "1f986", "1f985", "1f989", "1f99c", "1f9a2", "1f9a9", "1f413", "1f427", "1f424"),
    "cat": ("1f408", "1f408-200d-2b1b", "1f431"),
    "dog": ("1f415", "1f436", "1f429", "1f9ae", "1f415-200d-1f9ba"),
    "horse": ("1f40e", "1f434"),
    "sheep": ("1f411", "1f40f"),
    "cow": ("1f404", "1f42e", "1f402", "1f403"),
    "elephant": ("1f418",),
    "bear": ("1f43b", "1f43b-200d-2744-fe0f", "1f43c"),
    "zebra": ("1f993",),
    "giraffe": ("1f992",),
    "backpack": ("1f392",),
    "umbrella": ("2602-fe0f",),
    "sports ball": ("26bd", "1f3c0", "26be", "1f3d0", "1f94e", "1f3c8", "1f3c9"),
    "cup": ("2615", "1f375", "1f964"),
    "banana": ("1f34c",),
    "apple": ("1f34e", "1f34f"),
    "orange": ("1f34a",),
    "broccoli": ("1f966",),
    "carrot": ("1f955",),
    "pizza": ("1f355",),
    "donut": ("1f369",),
    "cake": ("1f382", "1f370", "1f9c1"),
    "chair": ("1fa91",),
    "potted plant": ("1fab4",),
    "tv": ("1f4fa",),
    "laptop": ("1f4bb",),
    "book": ("1f4d5", "1f4d7", "1f4d8", "1f4d9", "1f4d4", "1f4d3", "1f4d6"),
    "clock": ("23f0", "1f570-fe0f", "1f550", "1f553", "1f556", "1f559", "1f55b", "1f55e"),
    "scissors": ("2702-fe0f",),
    "teddy bear": ("1f9f8",),
}
"""Class name -> pictures; all 40 names are COCO's."""

DISTRACTOR_PICTURES: tuple[str, ...] = (
    "1f680", "1f3b8", "1f511", "1f40c", "1f98b", "1f420", "1f422", "1f438", "1f349", "1f353",
    "1f347", "1f45f", "1f451", "1f3a9", "1f941", "1f528", "1f335", "1f344", "1f4a1", "1f33b",
)
"""Objects of no class: pasted now and then and left unlabelled, as the world is full of other things."""
# fmt: on

CLASS_NAMES: tuple[str, ...] = tuple(CLASS_PICTURES)


def categories() -> list[dict[str, object]]:
    """Return the ``categories`` of an annotation file, with COCO's own ids (which have gaps)."""
    ids = dict(zip(COCO_THINGS, COCO_THING_IDS, strict=True))
    return [{"id": ids[name], "name": name, "supercategory": "object"} for name in CLASS_NAMES]
