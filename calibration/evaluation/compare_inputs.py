"""What ``compare`` works on, checked before the long work starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgeblend.arguments.checks import MOST, check_kind, check_list, check_whole
from edgeblend.bundle import Bundle
from edgeblend.calibration.data.coco import CocoDataset, CocoImage, read_coco, read_picture
from edgeblend.calibration.data.coco_file import listed
from edgeblend.calibration.data.coco_segmentation import coco_tools
from edgeblend.calibration.data.sources import look_for_images
from edgeblend.calibration.evaluation.accuracy import count_objects
from edgeblend.calibration.measuring.setups import AnyBundle, Setup, as_setups, name_setups, path_of
from edgeblend.errors import BundleError, InputError
from edgeblend.files.paths import exists
from edgeblend.runtime.images import read_image
from edgeblend.runtime.segmenter import Segmenter

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures that can all be read."""

    images: tuple[CocoImage, ...]
    """Images to run on; they have no objects where there are no labels."""
    labels: CocoDataset | None
    """The data set of these images, with the model's classes."""
    notes: tuple[str, ...]
    """What was left out or changed, one line each."""


def load_bundles(
    reference: AnyBundle, candidates: Sequence[AnyBundle]
) -> dict[str, tuple[Setup, Bundle | BundleError]]:
    """Return setups and their bundles by a name that tells them apart, the reference first.

    A candidate that is there but is not whole comes as its error.

    Raises:
        BundleError: the reference is not whole, or a candidate is not there.
        InputError: there are no candidates, or one has other classes than the reference.
    """
    others = check_list("candidates", candidates, "bundles")
    if not others:
        raise InputError("candidates: expected at least one to compare with the reference, got none")
    setups = [*as_setups("reference", [reference]), *as_setups("candidates", others)]
    loaded: dict[str, tuple[Setup, Bundle | BundleError]] = {}
    for name, setup in zip(name_setups(setups), setups, strict=True):
        item = setup.bundle
        try:
            loaded[name] = setup, item if isinstance(item, Bundle) else Bundle.load(item)
        except BundleError as error:
            if not loaded or not exists(path_of(item)):
                raise
            loaded[name] = setup, error
    first, *following = [bundle for _, bundle in loaded.values() if isinstance(bundle, Bundle)]
    for other in following:
        _check_classes(first, other)
    return loaded


def check_beside(
    given: Mapping[str, Segmenter] | None, *, names: Collection[str], class_names: Sequence[str]
) -> dict[str, Segmenter]:
    """Return the segmenters that are measured beside bundles of these names and classes.

    Raises:
        InputError: a name is a bundle's, a value is no segmenter, or one knows other classes.
    """
    if given is None:
        return {}
    check_kind("beside", given, Mapping, "a mapping of names to segmenters")
    for name, segmenter in given.items():
        if not isinstance(name, str) or not name or name in names:
            raise InputError(f"beside: got the name {name!r}; give a text that no bundle is called by")
        check_kind(f"beside: {name}", segmenter, Segmenter, "an open segmenter")
        if segmenter.class_names != tuple(class_names):
            raise InputError(
                f"beside: {name}: got other classes than the reference's; open it with the same class names"
            )
    return dict(given)


def read_pictures(
    images: str | Path,
    annotations: str | Path | None,
    class_names: Sequence[str],
    *,
    limit: int | None = None,
) -> Pictures:
    """Return pictures, with labels if there are annotations; each was read once.

    Args:
        images: a folder, or without annotations also a picture or a glob; then pictures that cannot be read
            are left out and noted.
        annotations: a COCO file of pictures in that folder.
        class_names: the model's.
        limit: take so many at most, spread evenly.

    Raises:
        InputError: there is nothing to measure on, or annotations fit neither pictures nor classes.
        MissingPackageError: faster-coco-eval, which annotations need, is not installed.
    """
    if limit is not None:
        check_whole("limit", limit, 1, MOST)
    if annotations is None:
        found = look_for_images(images)
        return _unlabelled(spread(found.paths, limit), found.notes)
    coco_tools()
    dataset = read_coco(annotations, images, class_names=class_names)
    dataset = replace(dataset, images=spread(dataset.images, limit))
    if not count_objects(dataset):
        raise InputError(
            f"{annotations}: expected objects on the {len(dataset.images)} pictures to measure accuracy, got "
            "none; label some, or compare bundles without annotations"
        )
    for image in dataset.images:
        read_picture(image)
    return Pictures(dataset.images, dataset, dataset.notes)


def spread(items: Sequence[_Item], count: int | None) -> tuple[_Item, ...]:
    """Return ``count`` items at even distances, the first and the last among them; all if there are fewer."""
    if count is None or count >= len(items):
        return tuple(items)
    return tuple(items[place] for place in np.linspace(0, len(items) - 1, count).round().astype(int))


def _unlabelled(paths: Sequence[Path], notes: tuple[str, ...]) -> Pictures:
    images, unreadable = [], []
    for number, path in enumerate(paths, 1):
        try:
            height, width = read_image(path).shape[:2]
            images.append(CocoImage(number, path, width, height, ()))
        except InputError as error:
            unreadable.append(str(error))
    if not images:
        raise InputError(f"none of the {len(paths)} pictures can be read: {unreadable[0]}")
    if unreadable:
        notes += (f"{len(unreadable)} of {len(paths)} pictures left out: {listed(unreadable)}",)
    return Pictures(tuple(images), None, notes)


def _check_classes(reference: Bundle, candidate: Bundle) -> None:
    expected, actual = reference.manifest.things, candidate.manifest.things
    if expected == actual:
        return
    where = f"{candidate.path}: expected the classes of {reference.path}"
    if set(expected) == set(actual):
        raise InputError(f"{where}, got them in another order; convert both with the same class names")
    parts = [
        f"{verb} {listed([repr(name) for name in names])}"
        for verb, names in (
            ("lacks", [name for name in expected if name not in set(actual)]),
            ("adds", [name for name in actual if name not in set(expected)]),
        )
        if names
    ]
    raise InputError(f"{where}, but it {' and '.join(parts)}; convert both with the same class names")
