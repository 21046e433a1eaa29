"""The classes of a model as a file: their names in the model's order, and their category ids.

A file has one name per line, or ``ID<TAB>NAME`` on every line, as training writes ``classes.txt``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeblend.errors import InputError

_NUMBER = re.compile(r"[+-]?[0-9]+")
_LONGEST_NUMBER = 40  # digits; Python refuses to read numbers of thousands


@dataclass(frozen=True, slots=True)
class ClassList:
    """Names of classes by class index, and their category ids where they are known."""

    names: tuple[str, ...]
    category_ids: tuple[int, ...] | None
    notes: tuple[str, ...] = ()
    """Notes on what was left out of the file, one line each."""


def read_class_list(path: str | Path) -> ClassList:
    """Read the names of classes, and their category ids where the file has them.

    Lines may end as on Windows, blank lines are skipped, and so is a byte order mark.

    Raises:
        InputError: the file cannot be read or is neither of the two kinds.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected class names, one per line") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a list of class names: {error}") from error
    found = parse_class_list(text.splitlines(), source=str(path))
    if not found.names:
        raise InputError(f"{path}: has no class names; expected one per line")
    return found


def class_list_text(names: Sequence[str], category_ids: Sequence[int]) -> str:
    """Return the text of a file that :func:`read_class_list` reads back, ``ID<TAB>NAME`` on every line."""
    return "".join(f"{category}\t{name}\n" for category, name in zip(category_ids, names, strict=True))


def parse_class_list(given: Sequence[str], *, source: str) -> ClassList:
    """Read the lines of such a file; ``source`` is what to call it in errors.

    Raises:
        InputError: some lines have an id and others have none.
    """
    lines = [(number, line.strip()) for number, line in enumerate(given, 1) if line.strip()]
    numbered = [line for _, line in lines if "\t" in line]
    if not numbered:
        return ClassList(tuple(line for _, line in lines), None)
    names, ids = [], []
    for number, line in lines:
        category, _, name = line.partition("\t")
        known = _NUMBER.fullmatch(category) and len(category) <= _LONGEST_NUMBER
        if not known or "\t" in name or not name.strip():
            raise InputError(
                f"{source}: line {number}: expected ID<TAB>NAME as on other lines, got {line!r}; "
                "give every class an id, or none"
            )
        names.append(name.strip())
        ids.append(int(category))
    return ClassList(tuple(names), tuple(ids))
