"""Manifests of other graphs than a bundle has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import structs

from edgeblend.manifest import Manifest


def _renamed(manifest: Manifest) -> Manifest:
    basis = manifest.graphs["basis"]
    (bases,) = basis.outputs
    other = structs.replace(basis, outputs=(structs.replace(bases, name="no such tensor"),))
    return structs.replace(manifest, graphs={**manifest.graphs, "basis": other})


def _turned(manifest: Manifest) -> Manifest:
    """Layouts the other way round."""
    basis = manifest.graphs["basis"]
    (bases,) = basis.outputs
    layout: Literal["NCHW", "NHWC"] = "NHWC" if bases.layout == "NCHW" else "NCHW"
    other = structs.replace(basis, outputs=(structs.replace(bases, layout=layout),))
    return structs.replace(manifest, graphs={**manifest.graphs, "basis": other})


OTHER_GRAPHS: dict[str, Callable[[Manifest], Manifest]] = {
    "an output of another name": _renamed,
    "another layout": _turned,
    "more classes": lambda manifest: structs.replace(
        manifest, decode=structs.replace(manifest.decode, num_classes=manifest.decode.num_classes + 1)
    ),
    "more bases": lambda manifest: structs.replace(
        manifest, blend=structs.replace(manifest.blend, num_bases=manifest.blend.num_bases + 1)
    ),
    "a larger attention": lambda manifest: structs.replace(
        manifest, blend=structs.replace(manifest.blend, attention_size=manifest.blend.attention_size + 1)
    ),
    "another canvas": lambda manifest: structs.replace(
        manifest, input=structs.replace(manifest.input, height=(manifest.input.height or 0) + 32)
    ),
    "a canvas that follows the frame": lambda manifest: structs.replace(
        manifest, input=structs.replace(manifest.input, height=None, width=None)
    ),
}
"""A bundle's manifest made into one that describes other graphs."""
