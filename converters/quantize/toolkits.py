"""The toolkits that quantize, as data; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from edgeblend.errors import EngineError, InputError
from edgeblend.manifest import GraphSpec, Manifest
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.base import Array, Session

TOOLKITS = {"nncf": "edgeblend.converters.quantize.nncf"}
"""A recipe's ``toolkit`` to the module that drives it."""


FloatModel = Any
"""A graph as the toolkit holds it."""

Validate = Callable[[Session, tuple[int, ...] | None, frozenset[str]], tuple[float, list[float]]]
"""From a graph that is opened, the numbers of pictures (None: all), and the layers that it computes in float,
to its score (higher is better) and one for each picture."""


class SizedItems(Protocol):
    """A graph's inputs by name, frame after frame; they can be gone through again."""

    def __iter__(self) -> Iterator[dict[str, Array]]: ...

    def __len__(self) -> int: ...


class Toolkit(Protocol):
    """What a toolkit's module offers; ``nncf.py`` documents each."""

    FORMATS: tuple[str, ...]

    def read_model(self, files: Sequence[Path]) -> FloatModel:
        """Return a graph in float."""

    def layer_names(self, model: FloatModel) -> tuple[str, ...]:
        """Return the layers of a graph in the order in which they run, by their names in the checkpoint."""

    def float_layers(self, model: FloatModel, graph: GraphSpec, recipe: Recipe) -> tuple[str, ...]:
        """Return which of them a recipe keeps in float."""

    def quantize_model(
        self, model: FloatModel, items: SizedItems, recipe: Recipe, *, float_layers: Collection[str]
    ) -> FloatModel:
        """Return a graph with its layers in INT8."""

    def quantize_to_score(
        self,
        model: FloatModel,
        items: SizedItems,
        recipe: Recipe,
        *,
        float_layers: Collection[str],
        pictures: int,
        validate: Validate,
        max_drop: float,
    ) -> FloatModel:
        """Return a graph in INT8, with the layers that cost most back in float until its score holds."""

    def quantize_to_fake(self, model: FloatModel, items: SizedItems, recipe: Recipe) -> FloatModel:
        """Return a graph with all its layers rounded as in INT8, to take single ones from."""

    def with_switches(self, model: FloatModel, fake: FloatModel) -> FloatModel:
        """Return a float graph with an input for each layer, which rounds it as ``quantize_to_fake`` did."""

    def switch_name(self, layer: str) -> str:
        """Return what the input of a layer is called: float32 (1,), 0 or 1."""

    def layers_in_int8(self, model: FloatModel) -> tuple[str, ...]:
        """Return the layers whose weights a graph holds as integers."""

    def save_model(self, model: FloatModel, path: Path, *, half: bool) -> tuple[Path, ...]:
        """Write a graph; return its files, the one to open first."""

    def tool_versions(self) -> dict[str, str]:
        """Return the versions of what quantizes."""


def load_toolkit(recipe: Recipe, manifest: Manifest) -> Toolkit:
    """Import what a recipe quantizes with.

    Raises:
        InputError: nobody knows the toolkit, or it does not take the bundle's graphs.
        EngineError: it is not installed.
    """
    if recipe.toolkit not in TOOLKITS:
        raise InputError(
            f"recipe {recipe.name!r}: unknown toolkit {recipe.toolkit!r}; known are {', '.join(TOOLKITS)}"
        )
    try:
        toolkit = cast(Toolkit, import_module(TOOLKITS[recipe.toolkit]))
    except ModuleNotFoundError as error:
        raise EngineError(
            f'quantizing needs {error.name}, which is not installed; run `pip install "edgeblend[quantize]"`'
        ) from error
    for part, graph in manifest.graphs.items():
        if graph.format not in toolkit.FORMATS:
            raise InputError(
                f"{recipe.toolkit} quantizes graphs of format {', '.join(toolkit.FORMATS)}, the {part} graph "
                f"is {graph.format!r}"
            )
    return toolkit
