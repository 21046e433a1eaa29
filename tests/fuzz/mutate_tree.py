"""Mutations of what JSON and YAML hold: of keys, values and branches; the text remains well-formed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from .mutate_bytes import count_of_mutations
from .mutate_values import TEXTS, any_value, text_like, value_like

Tree = Any
"""What ``json.loads`` returns."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A value and where it hangs."""

    parent: Any
    key: Any

    @property
    def value(self) -> Any:  # noqa: ANN401
        return self.parent[self.key]


def mutate_tree(tree: Tree, random: Random) -> Tree:
    """Return a copy of ``tree`` after one to four mutations."""
    root = [copy.deepcopy(tree)]
    for _ in range(count_of_mutations(random)):
        places = list(_places(root))
        operation = random.choices(_OPERATIONS, _WEIGHTS)[0]
        operation(_choose(places, random), places, random)
    return root[0] if root else None


def _places(root: list[Any]) -> Iterator[_Place]:
    """Yield every place below ``root``, from the top, in the order of the document."""
    waiting: list[Any] = [root]
    while waiting:
        parent = waiting.pop()
        keys = list(parent) if isinstance(parent, dict) else range(len(parent))
        for key in keys:
            yield _Place(parent, key)
            if isinstance(parent[key], dict | list):
                waiting.append(parent[key])


def _choose(places: list[_Place], random: Random) -> _Place:
    """Return a place; the document itself only seldom."""
    return random.choice(places[1:] if len(places) > 1 and random.random() < 0.98 else places)


def _other_value(place: _Place, places: list[_Place], random: Random) -> None:
    place.parent[place.key] = value_like(place.value, random)


def _other_scalar(place: _Place, places: list[_Place], random: Random) -> None:
    scalars = [found for found in places if not isinstance(found.value, dict | list)]
    if scalars:
        _other_value(random.choice(scalars), places, random)


def _other_type(place: _Place, places: list[_Place], random: Random) -> None:
    place.parent[place.key] = any_value(random)


def _take_over(place: _Place, places: list[_Place], random: Random) -> None:
    """Say what another place says; often one of the same type, so that references cross."""
    alike = [other for other in places if type(other.value) is type(place.value)]
    place.parent[place.key] = copy.deepcopy(random.choice(alike if random.random() < 0.8 else places).value)


def _swap(place: _Place, places: list[_Place], random: Random) -> None:
    other = random.choice(places)
    first, second = copy.deepcopy(place.value), copy.deepcopy(other.value)
    place.parent[place.key] = second
    other.parent[other.key] = first


def _remove(place: _Place, places: list[_Place], random: Random) -> None:
    if place is not places[0]:
        del place.parent[place.key]


def _duplicate(place: _Place, places: list[_Place], random: Random) -> None:
    value = copy.deepcopy(place.value)
    if isinstance(place.parent, dict):
        place.parent[text_like(str(place.key), random)] = value
    elif place is not places[0]:
        place.parent[place.key : place.key] = [value] * random.choice((1, 1, 1, 2, 50))


def _rename(place: _Place, places: list[_Place], random: Random) -> None:
    if isinstance(place.parent, dict):
        items = list(place.parent.items())
        new = text_like(str(place.key), random)
        place.parent.clear()
        place.parent.update({new if key == place.key else key: value for key, value in items})


def _add(place: _Place, places: list[_Place], random: Random) -> None:
    """Add a key or an item that nobody knows."""
    containers = [found.value for found in places if isinstance(found.value, dict | list)]
    into = random.choice(containers) if containers else None
    if isinstance(into, dict):
        into[random.choice(TEXTS)] = any_value(random)
    elif into is not None:
        into.insert(random.randrange(len(into) + 1), any_value(random))


def _wrap(place: _Place, places: list[_Place], random: Random) -> None:
    value = place.value
    place.parent[place.key] = [value] if random.random() < 0.5 else {"value": value}


def _empty(place: _Place, places: list[_Place], random: Random) -> None:
    containers = [found.value for found in places[1:] if isinstance(found.value, dict | list)]
    if containers:
        random.choice(containers).clear()


_Operation = Callable[[_Place, list[_Place], Random], None]

_WEIGHTED: tuple[tuple[_Operation, int], ...] = (
    (_other_scalar, 40),
    (_other_value, 8),
    (_other_type, 10),
    (_take_over, 12),
    (_swap, 4),
    (_remove, 8),
    (_duplicate, 6),
    (_rename, 3),
    (_add, 4),
    (_wrap, 2),
    (_empty, 3),
)
_OPERATIONS = tuple(operation for operation, _ in _WEIGHTED)
_WEIGHTS = tuple(weight for _, weight in _WEIGHTED)
