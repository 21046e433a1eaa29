"""Recipes: small JSON files that say how to quantize."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec

from edgeblend.converters.quantize.recipe_files import load_recipe
from edgeblend.errors import InputError
from edgeblend.recipe import Recipe

from ..mutate_text import as_json, mutate_json
from .kind import Kind, expect

_GOOD = msgspec.to_builtins(
    Recipe(
        name="mine",
        toolkit="nncf",
        range_estimator="mean_minmax",
        basis="fp32",
        float_roles=("box_reg", "bases"),
        float_below_db={"detector": 20.5, "basis": 15.0},
        float_layers=("head.*", "backbone.stem"),
    )
)


def _write(folder: Path) -> None:
    (folder / "recipe.json").write_bytes(as_json(_GOOD, Random(0)))


def _make(random: Random, folder: Path) -> None:
    (folder / "recipe.json").write_bytes(mutate_json(_GOOD, random))


def _run(folder: Path) -> None:
    recipe = load_recipe(folder / "recipe.json")
    again = msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe)
    expect(again == recipe, "the recipe is another one when it is written and read again")
    expect(load_recipe(recipe) == recipe, "the recipe is not taken as it was read")


KINDS = (Kind("recipe", _make, _run, (InputError,), _write, share=8),)
