"""The classes of a bundle: those that were named, or else what is assumed and said."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeblend.arguments.checks import check_ids, shown
from edgeblend.calibration.data.coco_categories import read_classes
from edgeblend.calibration.data.coco_file import Category
from edgeblend.calibration.data.coco_json import decode_coco
from edgeblend.class_list import ClassList, parse_class_list, read_class_list
from edgeblend.classes import COCO_STUFF, COCO_THINGS, category_ids_problem, default_category_ids
from edgeblend.errors import ConfigError, InputError
from edgeblend.model.config import ModelConfig

_SHOWN = 5  # names that a message lists

ClassNames = Sequence[str] | str | Path
"""Names in the order of the model's classes, or the path of a file with them."""


class _Labelled(msgspec.Struct, gc=False):
    category_id: int


class _DataSet(msgspec.Struct):
    """Of a COCO file what says which classes there are."""

    categories: list[Category]
    annotations: list[_Labelled] = []


@dataclass(frozen=True, slots=True)
class ModelClasses:
    """What a manifest says of classes."""

    things: tuple[str, ...]
    category_ids: tuple[int, ...]
    stuff: tuple[str, ...]
    notes: tuple[str, ...]
    """What was assumed or left out, one line each."""


def read_class_names(names: ClassNames | None, category_ids: Sequence[int] | None) -> ClassList | None:
    """Return what a caller gave as names and ids; None without any.

    Raises:
        InputError: a file cannot be read, ids come without names or twice, or something is no name or id.
    """
    if names is None:
        if category_ids is not None:
            raise InputError("category_ids: are given without class_names; name the classes that have them")
        return None
    listed = _read_file(Path(names)) if isinstance(names, str | Path) else _listed(names)
    if listed.category_ids is not None and category_ids is not None:
        where = names if isinstance(names, str | Path) else "class_names"
        raise InputError(f"category_ids: {where} has ids already; give one or the other")
    if category_ids is None:
        return listed
    return ClassList(listed.names, check_ids("category_ids", category_ids))


def choose_classes(config: ModelConfig, given: ClassList | None) -> ModelClasses:
    """Return the classes of a model.

    Args:
        config: the model.
        given: what the caller knows of its instance classes.

    Raises:
        InputError: names or ids do not fit the model, or names are needed and missing.
        ConfigError: the semantic classes are not COCO's.
    """
    things, notes = _assumed_things(config) if given is None else (_fitting(config, given), given.notes)
    ids = given.category_ids if given is not None else None
    if ids is None:
        ids = default_category_ids(things)
    elif problem := category_ids_problem(ids, len(things)):
        raise InputError(f"category_ids: {problem}; give one different id per class")
    stuff = _stuff_names(config)
    if stuff:
        notes += (
            f"stuff classes: assumed to be COCO panoptic's {len(stuff) - 1}, since the model has as many",
        )
    return ModelClasses(things, ids, stuff, notes)


def _read_file(path: Path) -> ClassList:
    """Return the classes of a text file, or of a COCO data set as training would order them."""
    if not (path.suffix.lower() == ".json" or _starts_like_json(path)):
        return read_class_list(path)
    document, notes = decode_coco(path, _DataSet)
    used = {item.category_id for item in document.annotations}
    classes = read_classes(path, document.categories, used, None)
    left_out = [f"{path}: {note}" for note in (*notes, *classes.notes)]
    return ClassList(classes.names, classes.ids, tuple(left_out))


def _starts_like_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")
    except (OSError, ValueError):  # reading it as text says what is wrong
        return False


def _listed(names: object) -> ClassList:
    """Return the classes of a list of names, or of the lines of a class file."""
    if isinstance(names, bytes) or not isinstance(names, Sequence):
        raise InputError(f"class_names: expected names or the path of a file with them, got {shown(names)}")
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"class_names: expected names, got {name!r} among them")
        if len(name.splitlines()) > 1:
            raise InputError(f"class_names: {name!r} has a line break; a file is given by its path")
    if any("\t" in name for name in names):
        return parse_class_list(names, source="class_names")
    return ClassList(tuple(names), None)


def _fitting(config: ModelConfig, given: ClassList) -> tuple[str, ...]:
    count, names = config.fcos.num_classes, given.names
    where = f"class_names: the model has {count} classes"
    if len(names) != count:
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        raise InputError(f"{where}, got {len(names)} names: {shown}; give one per class")
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise InputError(f"{where} and {repeated[0]!r} is given more than once; give different names")
    if not all(name.strip() for name in names):
        raise InputError(f"{where} and a name is empty; name every class")
    return names


def _assumed_things(config: ModelConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names that are likely, and notes that say so."""
    count = config.fcos.num_classes
    advice = "give class names (--class-names) if it was trained on others"
    if count == len(COCO_THINGS):
        return COCO_THINGS, (
            f"class names: assumed to be COCO's {count}, since the model has as many classes; {advice}",
        )
    if count == 1 and config.name.startswith("Person"):
        return ("person",), (f"class names: assumed to be 'person', as {config.name} says; {advice}",)
    raise InputError(
        f"the model has {count} classes and not COCO's {len(COCO_THINGS)}: give their names (--class-names)"
    )


def _stuff_names(config: ModelConfig) -> tuple[str, ...]:
    if config.semantic is None:
        return ()
    if config.semantic.num_classes != len(COCO_STUFF):
        raise ConfigError(
            f"{config.semantic.num_classes} semantic classes are not supported, "
            f"only the {len(COCO_STUFF)} of COCO panoptic"
        )
    return COCO_STUFF
