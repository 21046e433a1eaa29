"""Whether bundles number their classes as a labelled data set does."""

from __future__ import annotations

from collections.abc import Mapping

from edgeblend.bundle import Bundle
from edgeblend.calibration.data.coco import CocoDataset
from edgeblend.calibration.data.coco_file import listed


def category_notes(bundles: Mapping[str, Bundle], labels: CocoDataset) -> tuple[str, ...]:
    """Return a line for each bundle whose category ids are others than those of the labels.

    Measuring goes by names, so nothing is wrong with its figures. But results that ``edgeblend run`` writes
    have the bundle's ids, and tools that go by ids would take one class for another.

    Args:
        bundles: by name.
        labels: read with the bundles' classes. What it has no objects of is not compared.
    """
    used = {item.class_index for image in labels.images for item in image.objects}
    expected = {labels.class_names[i]: labels.category_ids[i] for i in sorted(used)}
    notes = []
    for name, bundle in bundles.items():
        actual = dict(zip(bundle.manifest.things, bundle.manifest.category_ids, strict=True))
        differing = [
            f"{actual[label]} for {label!r}, {category} there"
            for label, category in expected.items()
            if actual[label] != category
        ]
        if differing:
            notes.append(
                f"{name}: its results have other category ids than {labels.source}: {listed(differing)}; to "
                f"evaluate them with that file, convert with --class-names {labels.source}"
            )
    return tuple(notes)
