"""JSON as annotation tools write it: with a byte order mark, with NaN, with numbers as text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TypeVar

import msgspec

from edgeblend.errors import InputError
from edgeblend.files.json_errors import NOT_JSON
from edgeblend.files.paths import is_dir
from edgeblend.runtime.image_files import kind_of

_T = TypeVar("_T")

# A string, which is left as it is, or a number that JSON does not have; Python writes these.
_STRING_OR_NUMBER = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b', re.DOTALL)


def decode_coco(path: Path, kind: type[_T]) -> tuple[_T, list[str]]:
    """Return a COCO file as a struct, and what had to be read another way than it is written.

    Raises:
        InputError: the file is missing, not JSON, or not of this struct.
    """
    data = _as_utf8(path, _read(path))
    try:
        return msgspec.json.decode(data, type=kind), []
    except NOT_JSON:
        return _decode_leniently(path, data, kind)


def _read(path: Path) -> bytes:
    if is_dir(path):
        raise InputError(
            f"{path}: cannot be read: a folder; name the file of annotations in COCO's JSON format"
        )
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected annotations in COCO's JSON format") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _as_utf8(path: Path, data: bytes) -> bytes:
    """Return JSON text in UTF-8 without a byte order mark; JSON may also come in UTF-16 and UTF-32."""
    encoding = json.detect_encoding(data)
    if encoding == "utf-8":
        return data
    try:
        return data.decode(encoding).encode()
    except UnicodeError as error:
        raise InputError(f"{path}: not a JSON file: {error}") from None


def _decode_leniently(path: Path, data: bytes, kind: type[_T]) -> tuple[_T, list[str]]:
    data, replaced = _without_nan(data)
    notes = [f"{replaced} numbers given as NaN or Infinity were read as missing"] if replaced else []
    hint = " (NaN and Infinity count as null)" if replaced else ""
    try:
        try:
            return msgspec.json.decode(data, type=kind), notes
        except msgspec.ValidationError:
            value = msgspec.json.decode(data, type=kind, strict=False)
            return value, [*notes, "numbers given as text, or whole ones with a point, were read as numbers"]
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: not COCO's format for instances: {error}{hint}") from None
    except NOT_JSON as error:
        raise InputError(f"{path}: not a JSON file: {_what_it_is(data) or error}") from None


def _what_it_is(data: bytes) -> str | None:
    kind = kind_of(data)
    return kind and f"a {kind}; annotations in COCO's JSON format are wanted here"


def _without_nan(data: bytes) -> tuple[bytes, int]:
    """Return JSON with null for every NaN and Infinity, and how many there were."""
    if b"NaN" not in data and b"Infinity" not in data:
        return data, 0
    replaced = 0

    def null(match: re.Match[bytes]) -> bytes:
        nonlocal replaced
        if match[0].startswith(b'"'):
            return match[0]
        replaced += 1
        return b"null"

    return _STRING_OR_NUMBER.sub(null, data), replaced
