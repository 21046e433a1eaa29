"""A config's YAML file and the files it is based on, as one flat table of dotted keys.

Nothing here knows what a key means; :mod:`edgeblend.model.config_keys` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edgeblend.errors import ConfigError

MAX_BYTES = 1_000_000
"""Configs are a few kilobytes; a larger file is something else, such as the checkpoint itself."""

# libyaml is about ten times faster, and not in every build of PyYAML.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    if not isinstance(base.value, str) or not base.value:
        raise ConfigError(f"{base.place}: _BASE_ must be one path relative to this file, not {base.value!r}.")
    base_path = path.parent / base.value
    if not base_path.is_file():
        raise ConfigError(f"{base.place}: _BASE_ {base.value!r} is not a file; looked for {base_path}.")
    return {**_read(base_path, (*chain, resolved)), **own}


def _parse(path: Path) -> Iterator[tuple[str, Setting]]:
    loader = _Loader(_read_text(path))
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            what = "is empty" if root is None else f"holds a {root.id}"
            raise ConfigError(f"{path} {what}; expected a YAML mapping with sections such as MODEL.")
        yield from _walk(loader, root, path, prefix="", seen=set())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {error.problem or error.context}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a scalar that looks like a date but is none, such as 2020-99-99.
        raise ConfigError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    finally:
        loader.dispose()


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than any config ({MAX_BYTES} bytes); is it the checkpoint?")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file; expected a YAML config.") from error
    except OSError as error:
        raise ConfigError(f"Cannot read the config {path}: {error.strerror or error}.") from error


def _walk(
    loader: Any,  # noqa: ANN401 - either of PyYAML's two safe loaders
    section: yaml.MappingNode,
    path: Path,
    prefix: str,
    seen: set[int],
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
        # As written: YAML reads ON as a truth value. In quotes where it could pass for a path of sections.
        key = repr(key_node.value) if "." in key_node.value else key_node.value
        if key in lines:
            raise ConfigError(f"{path}:{line}: {prefix}{key} is already set in line {lines[key]}; keep one.")
        lines[key] = line
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _walk(loader, value_node, path, f"{prefix}{key}.", seen)
        else:
            yield prefix + key, Setting(loader.construct_object(value_node, deep=True), path, line)
