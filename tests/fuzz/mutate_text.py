"""Mutations of JSON and YAML as text: what editors, other tools and hands do to it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import yaml

from .mutate_bytes import mutate_bytes
from .mutate_tree import mutate_tree

_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252")
_JSON_PIECES = (
    *(",", "]", "}", "[", "{", '"', ":", "NaN", "-Infinity", "1e999", "-", "0x10", "01", "1.", "'a'"),
    *(
        "// c\n",
        "/* c */",
        '"\\ud800"',
        '"\\u0000"',
        "9" * 400,
        "9" * 6000,
        "[" * 400,
        "[" * 20000,
        '{"a":' * 5000,
    ),
)
_YAML_PIECES = (
    *(
        "\t",
        "- ",
        ": ",
        "? ",
        "&a ",
        "*a ",
        "*b",
        "<<: *a\n",
        "!!python/tuple ",
        "!!python/object:os.system ",
        "|\n",
    ),
    *(
        "!!binary ",
        "!!set ",
        "!!timestamp ",
        "2020-99-99",
        "---\n",
        "...\n",
        "%YAML 9.9\n",
        "%TAG ! x\n",
        "#",
        "@",
    ),
    *(
        "0o17",
        "017",
        "1_000",
        "1:30",
        ".nan",
        "-.inf",
        "yes",
        "~",
        "=",
        "[" * 300,
        "{" * 5000,
        "- " * 2000,
        "9" * 6000,
    ),
    *("&a [*a]", "\x00", "\x07", "\u2028", "\ufeff", "'", '"', ">\n", "'''", "\\"),
)


def mutate_json(tree: Any, random: Random) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a document as JSON, mutated: mostly its content, else its text, else its bytes."""
    level = random.choices(("tree", "text", "bytes"), (80, 12, 8))[0]
    if level == "tree":
        return as_json(mutate_tree(tree, random), random)
    data = as_json(tree, random)
    return (
        _mutate_text(data.decode(), _JSON_PIECES, random) if level == "text" else mutate_bytes(data, random)
    )


def mutate_yaml(tree: Any, random: Random) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a document as YAML, mutated as :func:`mutate_json` does."""
    level = random.choices(("tree", "text", "bytes"), (70, 22, 8))[0]
    if level == "tree":
        return as_yaml(mutate_tree(tree, random), random)
    data = as_yaml(tree, random)
    return (
        _mutate_text(data.decode(), _YAML_PIECES, random) if level == "text" else mutate_bytes(data, random)
    )


def as_json(tree: Any, random: Random) -> bytes:  # noqa: ANN401 - any JSON value
    """Return JSON as one of the writers that there are would write it; NaN as Python does."""
    text = json.dumps(tree, ensure_ascii=random.random() < 0.5, indent=random.choice((None, 2)))
    return text.encode("utf-8", "surrogatepass")


def as_yaml(tree: Any, random: Random) -> bytes:  # noqa: ANN401 - any JSON value
    """Return YAML in blocks or, as JSON is YAML, in braces."""
    if random.random() < 0.2:
        return json.dumps(tree).encode()
    try:
        return yaml.dump(tree, Dumper=yaml.SafeDumper, sort_keys=False, width=100).encode()
    except (yaml.YAMLError, UnicodeError):  # half of a surrogate pair
        return json.dumps(tree).encode()


def _mutate_text(text: str, pieces: tuple[str, ...], random: Random) -> bytes:
    change = random.choices(("piece", "line", "encoding", "endings"), (60, 25, 10, 5))[0]
    if change == "encoding":
        return text.encode(random.choice(_ENCODINGS), "replace")
    if change == "endings":
        return text.replace("\n", random.choice(("\r\n", "\r", "\n\n", ""))).encode()
    if change == "line":
        return _mutate_lines(text, random).encode()
    place = random.randrange(len(text) + 1)
    removed = random.choice((0, 0, 1, 3))
    return (text[:place] + random.choice(pieces) + text[place + removed :]).encode("utf-8", "surrogatepass")


def _mutate_lines(text: str, random: Random) -> str:
    """Repeat, remove, move or indent a line: a repeated one repeats its key."""
    lines = text.split("\n")
    place = random.randrange(len(lines))
    line = lines[place]
    change = random.choice(("repeat", "remove", "move", "indent"))
    if change == "repeat":
        lines.insert(place, line)
    elif change == "indent":
        lines[place] = random.choice((" ", "  ", "\t", "      ")) + line
    else:
        del lines[place]
        if change == "move":
            lines.insert(random.randrange(len(lines) + 1), line)
    return "\n".join(lines)
