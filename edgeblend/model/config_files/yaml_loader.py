"""The part of YAML that configs are written in: plain data, no objects, nothing that grows as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

MAX_DEPTH = 50
"""Configs are five sections deep. Readers of YAML recurse: a few thousand brackets can end the process."""

_MAX_INTEGER_TEXT = 40
_CORE = "tag:yaml.org,2002:"
_TUPLE = f"{_CORE}python/tuple"
_PLAIN_TAGS = {f"{_CORE}{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}

# libyaml is about ten times faster, and not in every build of PyYAML.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PlainLoader(_Safe):  # type: ignore[misc]
    """Builds plain data, and the tuples that training toolboxes dump."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse ``<<``, whose lists of mappings multiply."""
        for key, _ in node.value:
            refuse_merge(key)
        super().flatten_mapping(node)


def refuse_merge(key: yaml.Node) -> None:
    """Refuse a key that is ``<<``.

    Raises:
        yaml.MarkedYAMLError: it is.
    """
    if key.tag == f"{_CORE}merge":
        raise _refusal("merge keys (<<) are not supported; write the keys out", key)


def _integer(loader: PlainLoader, node: yaml.ScalarNode) -> int:
    # Python converts long numbers in quadratic time, and refuses to print them.
    if len(node.value) > _MAX_INTEGER_TEXT:
        raise _refusal(f"a number of {len(node.value)} characters", node)
    return int(loader.construct_yaml_int(node))


def _tuple(loader: PlainLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


PlainLoader.add_constructor(f"{_CORE}int", _integer)
PlainLoader.add_constructor(_TUPLE, _tuple)


def check_events(text: str) -> None:
    """Refuse, before nodes are made, what no config needs: deep nesting, aliases of aliases, tags of objects.

    Raises:
        yaml.YAMLError: the text has such a thing, or is not YAML.
    """
    anchored: list[bool] = []  # for every open section or list: whether it, or one around it, has a name
    for event in _events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            anchored.pop()
            continue
        if isinstance(event, yaml.AliasEvent) and any(anchored[-1:]):
            raise _refusal("aliases within what has a name of its own are not supported; write it out", event)
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            _check_tag(event)
        if isinstance(event, yaml.CollectionStartEvent):
            anchored.append(event.anchor is not None or any(anchored[-1:]))
            if len(anchored) > MAX_DEPTH:
                raise _refusal(f"nested deeper than {MAX_DEPTH} levels", event)


def _events(text: str) -> Iterator[yaml.Event]:
    return iter(yaml.parse(text, Loader=_Safe))


def _check_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
    tag = event.tag
    if tag is None or tag == "!" or tag in _PLAIN_TAGS:
        return
    if tag == _TUPLE and isinstance(event, yaml.SequenceStartEvent):
        return
    shown = f"!!{tag.removeprefix(_CORE)}" if tag.startswith(_CORE) else tag
    if tag.startswith(f"{_CORE}python/"):
        reason = "would build a Python object, and a config is read as plain data; write the value itself"
    else:
        reason = "is not one that configs use; leave it out"
    raise _refusal(f"the tag {shown[:80]!r} {reason}", event)


def _refusal(problem: str, where: yaml.Event | yaml.Node) -> yaml.MarkedYAMLError:
    mark: Any = where.start_mark  # of libyaml or of PyYAML itself
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
