"""The classes of a model as a file: their names in the model's order, and their category ids.

A file is one of three:

- text with one name per line;
- text with ``ID<TAB>NAME`` on every line, as training writes ``classes.txt``;
- JSON in COCO's format, whose categories are taken in the order of their ids, as training takes them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeblend.errors import InputError

_NUMBER = re.compile(r"[+-]?[0-9]+")
_LONGEST_NUMBER = 40  # digits; Python refuses to read numbers of thousands


@dataclass(frozen=True, slots=True)
class ClassList:
    """Names of classes by class index, and their category ids where they are known."""

    names: tuple[str, ...]
    category_ids: tuple[int, ...] | None


class _Category(msgspec.Struct):
    id: int
    name: str


class _Labelled(msgspec.Struct):
    category_id: int


class _Coco(msgspec.Struct):
    categories: list[_Category]
    annotations: list[_Labelled] = []


def read_class_list(path: str | Path) -> ClassList:
    """Read the names of classes, and their category ids where the file has them.

    Lines may end as on Windows, blank lines are skipped, and so is a byte order mark.

    Raises:
        InputError: the file cannot be read or is none of the three kinds.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected class names, one per line") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a list of class names: {error}") from error
    as_json = path.suffix.lower() == ".json" or text.lstrip().startswith("{")
    found = _from_coco(text, path) if as_json else _from_lines(text, path)
    if not found.names:
        raise InputError(f"{path}: has no class names; expected one per line")
    return found


def class_list_text(names: Sequence[str], category_ids: Sequence[int]) -> str:
    """Return the text of a file that :func:`read_class_list` reads back, ``ID<TAB>NAME`` on every line."""
    return "".join(f"{category}\t{name}\n" for category, name in zip(category_ids, names, strict=True))


def _from_lines(text: str, path: Path) -> ClassList:
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    numbered = [line for _, line in lines if "\t" in line]
    if not numbered:
        return ClassList(tuple(line for _, line in lines), None)
    names, ids = [], []
    for number, line in lines:
        category, _, name = line.partition("\t")
        known = _NUMBER.fullmatch(category) and len(category) <= _LONGEST_NUMBER
        if not known or "\t" in name or not name.strip():
            raise InputError(
                f"{path}: line {number}: expected ID<TAB>NAME as on other lines, got {line!r}; "
                "give every class an id, or none"
            )
        names.append(name.strip())
        ids.append(int(category))
    return ClassList(tuple(names), tuple(ids))


def _from_coco(text: str, path: Path) -> ClassList:
    try:
        document = msgspec.json.decode(text, type=_Coco)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{path}: not COCO's format: {error}; expected categories with id and name"
        ) from None
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: not a JSON file: {error}") from None
    categories = sorted(document.categories, key=lambda category: category.id)
    used = {item.category_id for item in document.annotations}
    times = Counter(category.name for category in categories)
    # A root category may be named like a class: the one without objects is not the class.
    kept = [one for one in categories if times[one.name] == 1 or not used or one.id in used]
    return ClassList(tuple(one.name for one in kept), tuple(one.id for one in kept))
