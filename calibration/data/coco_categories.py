"""From the categories of a COCO file to classes, which have one name each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from edgeblend.calibration.data.coco_file import Category, listed
from edgeblend.errors import InputError


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a data set."""

    names: tuple[str, ...]
    ids: tuple[int, ...]
    """Category id of each class."""
    indices: Mapping[int, int]
    """The class of each category id that annotations name."""
    notes: tuple[str, ...]


def read_classes(
    path: Path, categories: Sequence[Category], used: AbstractSet[int], wanted: Sequence[str] | None
) -> Classes:
    """Return the classes of a file.

    Exporters write a root category that only groups the others, and some that call two categories alike.
    What no object uses is then left out; two that are used become one class, with the lower id.

    Args:
        path: the file, for messages.
        categories: all of its, each with an id of its own.
        used: ids that annotations name.
        wanted: a model's class names; None: the file's own by ascending category id.

    Raises:
        InputError: there are no categories, a wanted name comes twice, or the file has others than wanted.
    """
    notes: list[str] = []
    ids = _ids_by_name(sorted(categories, key=lambda category: category.id), used, wanted, notes)
    if not ids:
        raise InputError(f"{path}: expected at least one category, got none")
    names = tuple(ids) if wanted is None else _check_wanted(path, ids, wanted)
    unused = max(category.id for category in categories) + 1
    own = []
    for name in names:
        own.append(ids[name][0] if name in ids else unused)
        unused += name not in ids
    indices = {number: index for index, name in enumerate(names) for number in ids.get(name, ())}
    return Classes(names, tuple(own), indices, tuple(notes))


def _ids_by_name(
    categories: Sequence[Category], used: AbstractSet[int], wanted: Sequence[str] | None, notes: list[str]
) -> dict[str, list[int]]:
    """Return the ids of each name, both rising; more than one where several that are used are called so."""
    ids: dict[str, list[int]] = {}
    for category in categories:
        if category.name not in (wanted or ()) and _is_root(category, categories, used):
            notes.append(f"category {category.id} {category.name!r} only groups the others and was left out")
        else:
            ids.setdefault(category.name, []).append(category.id)
    for name, alike in ids.items():
        kept = [number for number in alike if number in used] or alike[:1]
        if unused := [number for number in alike if number not in kept]:
            notes.append(
                f"{_counted(unused)} without objects, called {name!r} like category {kept[0]}: left out"
            )
        if len(kept) > 1:
            notes.append(f"{_counted(kept)} are all called {name!r} and became one class with id {kept[0]}")
        ids[name] = kept
    return dict(sorted(ids.items(), key=lambda item: item[1][0]))


def _is_root(category: Category, categories: Sequence[Category], used: AbstractSet[int]) -> bool:
    """Whether no object is of a category that stands above others, as Roboflow's exports have one."""
    return (
        category.id not in used
        and category.supercategory == "none"
        and any(other.supercategory == category.name for other in categories if other is not category)
    )


def _check_wanted(path: Path, ids: Mapping[str, object], wanted: Sequence[str]) -> tuple[str, ...]:
    if repeated := [name for name, count in Counter(wanted).items() if count > 1]:
        raise InputError(f"{path}: class names given more than once: {listed(map(repr, repeated))}")
    if unknown := [name for name in ids if name not in set(wanted)]:
        raise InputError(
            f"{path}: expected only classes that the model knows, got also "
            f"{listed(map(repr, unknown), len(unknown))}; rename or remove them"
        )
    return tuple(wanted)


def _counted(ids: Sequence[int]) -> str:
    return f"{'category' if len(ids) == 1 else 'categories'} {' and '.join(map(str, ids))}"
