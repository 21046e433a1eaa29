"""A config's YAML file and the files it is based on, as one flat table of dotted keys.

Nothing here knows what a key means; :mod:`edgeblend.model.config_files.keys` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edgeblend.errors import ConfigError
from edgeblend.files.paths import is_file
from edgeblend.model.config_files.yaml_loader import PlainLoader, check_events, refuse_merge

MAX_BYTES = 1_000_000
"""Configs are a few kilobytes; a larger file is something else, such as the checkpoint itself."""

_MAX_BASES = 20
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_PLAIN_KEY = re.compile(r"[\w<>-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setting:
    """One value and the place it was written at."""

    value: Any
    file: Path
    line: int

    @property
    def place(self) -> str:
        """Such as ``my.yaml:12``."""
        return f"{self.file}:{self.line}"


def read_settings(path: Path) -> dict[str, Setting]:
    """Read a YAML file over its ``_BASE_`` files: dotted key, such as ``MODEL.FCOS.NORM``, to setting.

    Raises:
        ConfigError: a file is missing, not text, not YAML, not a mapping, repeats a key, or is its own base.
    """
    return _read(path, chain=())


def _read(path: Path, chain: tuple[Path, ...]) -> dict[str, Setting]:
    resolved = path.resolve()
    if resolved in chain:
        circle = " -> ".join(str(p) for p in (*chain[chain.index(resolved) :], resolved))
        raise ConfigError(f"_BASE_ goes in a circle: {circle}; remove one of these _BASE_ lines.")
    own = dict(_parse(path))
    base = own.pop("_BASE_", None)
    if base is None:
        return own
    if len(chain) >= _MAX_BASES:
        raise ConfigError(f"{base.place}: more than {_MAX_BASES} files are based on each other; join some.")
    return {**_read(_base_path(base), (*chain, resolved)), **own}


def _base_path(base: Setting) -> Path:
    """Where a ``_BASE_`` points: ``~`` is the home folder, and what is not absolute lies beside its file."""
    if not isinstance(base.value, str) or not base.value:
        raise ConfigError(
            f"{base.place}: _BASE_ must be one path relative to this file, not {_shown(base.value)}."
        )
    if "://" in base.value:
        raise ConfigError(
            f"{base.place}: _BASE_ {_shown(base.value)} is a URL, and nothing is fetched here; save it beside"
            " this file and give its name."
        )
    # As a text: Path.expanduser raises for a user that there is not.
    path = base.file.parent / os.path.expanduser(base.value)  # noqa: PTH111
    if not is_file(path):
        raise ConfigError(
            f"{base.place}: _BASE_ {_shown(base.value)} is not a file; looked for {_shown(str(path))}."
        )
    return path


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"


def _parse(path: Path) -> Iterator[tuple[str, Setting]]:
    text = _read_text(path)
    try:
        check_events(text)
        yield from _settings(text, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {str(error).splitlines()[0]}.") from error


def _settings(text: str, path: Path) -> Iterator[tuple[str, Setting]]:
    loader = PlainLoader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            what = "is empty" if root is None else f"holds a {root.id}"
            raise ConfigError(f"{path} {what}; expected a YAML mapping with sections such as MODEL.")
        yield from _walk(loader, root, path, prefix="", seen=set())
    finally:
        loader.dispose()


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"Cannot read the config {path}: {error.strerror or error}.") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than any config ({MAX_BYTES} bytes); is it the checkpoint?")
    if data.startswith(_UTF_16):
        raise ConfigError(f"{path} is text in UTF-16; save it as UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file; expected a YAML config.") from error


def _walk(
    loader: PlainLoader, section: yaml.MappingNode, path: Path, prefix: str, seen: set[int]
) -> Iterator[tuple[str, Setting]]:
    if id(section) in seen:  # an alias; following it could go on for ever
        line = section.start_mark.line + 1
        raise ConfigError(f"{path}:{line}: YAML aliases of whole sections are not supported; write it out.")
    seen.add(id(section))
    lines: dict[str, int] = {}
    for key_node, value_node in section.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{path}:{line}: a key is a {key_node.id}; expected a name.")
        refuse_merge(key_node)
        # As written: YAML reads ON as a truth value. In quotes where it could pass for a path of sections.
        key = key_node.value if _PLAIN_KEY.fullmatch(key_node.value) else _shown(key_node.value)
        if key in lines:
            raise ConfigError(f"{path}:{line}: {prefix}{key} is already set in line {lines[key]}; keep one.")
        lines[key] = line
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _walk(loader, value_node, path, f"{prefix}{key}.", seen)
        else:
            yield prefix + key, Setting(_value(loader, value_node, path), path, line)


def _value(loader: PlainLoader, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - any plain data
    try:
        return loader.construct_object(node, deep=True)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A value that looks like what it is not, such as the date 2020-99-99 or the number `!!int ""`.
        reason = " ".join(str(error).split()) or type(error).__name__
        line = node.start_mark.line + 1
        raise ConfigError(f"{path}:{line}: not valid YAML: a value cannot be read ({reason}).") from error
