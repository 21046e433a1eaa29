"""Recipes by name or from a file."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib.resources import files
from math import isfinite
from pathlib import Path
from uuid import UUID

import msgspec

from edgeblend.arguments.checks import check_path, shown
from edgeblend.errors import InputError
from edgeblend.files import paths
from edgeblend.files.json_errors import NOT_JSON
from edgeblend.recipe import Recipe

_NOT_OF_JSON = (bytes, bytearray, datetime, date, time, timedelta, UUID, Decimal)
"""What msgspec would write as text."""


def recipe_names(target: str = "openvino") -> tuple[str, ...]:
    """Return the names of the recipes that come with edgeblend for a bundle's target."""
    folder = files("edgeblend.converters.quantize") / "recipes" / target
    if not folder.is_dir():
        return ()
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".json")))


def load_recipe(recipe: str | Path | Recipe, target: str = "openvino") -> Recipe:
    """Return a recipe by its name, from a JSON file, or as it was handed in.

    Args:
        recipe: which.
        target: of the bundle; each has recipes of its own by the same names.

    Raises:
        InputError: there is no such recipe or file, or it has an unknown key or a wrong value.
    """
    if isinstance(recipe, Recipe):
        return _checked(recipe)
    path, known = check_path("recipe", recipe), recipe_names(target)
    if str(recipe) in known:
        file = files("edgeblend.converters.quantize") / "recipes" / target / f"{recipe}.json"
        return _decode(file.read_bytes(), str(recipe))
    if not paths.is_file(path):
        raise InputError(f"{recipe}: no such recipe; expected {', '.join([*known, 'a JSON file with one'])}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return _decode(data, str(path))


def check_layer_patterns(recipe: Recipe, names: Iterable[str]) -> None:
    """Refuse a recipe that names a layer which none of the graphs has.

    Args:
        recipe: what was asked for.
        names: of the layers of all graphs.

    Raises:
        InputError: with the names that come closest.
    """
    known = list(names)
    for pattern in recipe.float_layers:
        if not any(fnmatchcase(name, pattern) for name in known):
            close = get_close_matches(pattern, known, n=3, cutoff=0.3)
            raise InputError(
                f"recipe {recipe.name!r} keeps {pattern!r} in float, but no layer is called that"
                + (f"; close are {', '.join(close)}" if close else "")
                + " (`edgeblend sensitivity` lists them all)"
            )


def _decode(data: bytes, source: str) -> Recipe:
    try:
        return msgspec.json.decode(data, type=Recipe)
    except NOT_JSON as error:
        raise _not_a_recipe(source, error) from None


def _checked(recipe: Recipe) -> Recipe:
    """Return a recipe that was made in Python, where nothing has looked at its values."""
    try:
        msgspec.convert(msgspec.to_builtins(recipe, builtin_types=_NOT_OF_JSON), Recipe)
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as error:
        raise _not_a_recipe(f"recipe {shown(recipe.name)}", error) from None
    for limit in recipe.float_below_db.values():
        if not isfinite(limit):
            raise InputError(f"recipe {recipe.name!r}: expected finite decibels, got {limit}")
    return recipe


def _not_a_recipe(source: str, error: Exception) -> InputError:
    return InputError(f"{source}: not a recipe: {error}; its keys are {', '.join(Recipe.__struct_fields__)}")
