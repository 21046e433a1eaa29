"""The toolkits that quantize, as data; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from edgeblend.converters.exported import ExportedGraph
from edgeblend.converters.opened import OpenGraph
from edgeblend.converters.third_party import import_one_at_a_time
from edgeblend.errors import InputError, MissingPackageError
from edgeblend.manifest import GraphSpec, Manifest, Part, TensorQuantization
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.base import Array


@dataclass(frozen=True, slots=True)
class ToolkitEntry:
    """Where a toolkit is driven, and how to install it."""

    module: str
    extras: str
    """Of edgeblend."""


TOOLKITS = {
    "nncf": ToolkitEntry("edgeblend.converters.openvino.toolkit", "quantize"),
    "nncf-onnx": ToolkitEntry("edgeblend.converters.onnx.toolkit", "quantize,convert-onnxruntime"),
    "ai-edge-quantizer": ToolkitEntry("edgeblend.converters.tflite.toolkit", "convert-tflite"),
}
"""By what a recipe's ``toolkit`` calls them."""

TOOLKIT_OF_TARGET = {"openvino": "nncf", "onnxruntime": "nncf-onnx", "tflite": "ai-edge-quantizer"}
"""What quantizes a target's bundles where the recipe does not say."""

FloatModel = Any
"""A graph as the toolkit holds it."""


Validate = Callable[[OpenGraph, tuple[int, ...] | None, frozenset[str]], tuple[float, list[float]]]
"""From a graph that is opened, the numbers of pictures (None: all), and the layers that it computes in float,
to its score (higher is better) and one for each picture."""


class SizedItems(Protocol):
    """A graph's inputs by name, frame after frame; they can be gone through again."""

    def __iter__(self) -> Iterator[dict[str, Array]]: ...

    def __len__(self) -> int: ...


class Toolkit(Protocol):
    """What a toolkit's module offers; ``nncf.py`` documents each."""

    FORMATS: tuple[str, ...]

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse what a recipe asks for and the toolkit cannot do, with an InputError."""

    def read_model(self, files: Sequence[Path]) -> FloatModel:
        """Return a graph in float."""

    def layer_names(self, model: FloatModel) -> tuple[str, ...]:
        """Return the layers of a graph in the order in which they run, by their names in the checkpoint."""

    def float_layers(self, model: FloatModel, graph: GraphSpec, recipe: Recipe) -> tuple[str, ...]:
        """Return which of them a recipe keeps in float."""

    def quantize_model(
        self,
        model: FloatModel,
        items: SizedItems,
        recipe: Recipe,
        *,
        float_layers: Collection[str],
        arriving: Mapping[str, TensorQuantization],
    ) -> FloatModel:
        """Return a graph with its layers in INT8.

        ``arriving`` says how inputs will come, by name, those of them that come as integers: a graph that
        takes integers should take the same.
        """

    def quantize_to_score(
        self,
        model: FloatModel,
        graph: GraphSpec,
        items: SizedItems,
        recipe: Recipe,
        *,
        float_layers: Collection[str],
        arriving: Mapping[str, TensorQuantization],
        pictures: int,
        validate: Validate,
        max_drop: float,
    ) -> FloatModel:
        """Return a graph in INT8, with the layers that cost most back in float until its score holds."""

    def each_alone(
        self, model: FloatModel, graph: GraphSpec, items: SizedItems, recipe: Recipe
    ) -> AbstractContextManager[Callable[[str], OpenGraph]]:
        """Enter to open, layer by layer, the graph with that layer alone rounded as in INT8.

        It takes what the float graph takes, and runs until the next is asked for. No bias is corrected.
        """

    def layers_in_int8(self, model: FloatModel) -> tuple[str, ...]:
        """Return the layers whose weights a graph holds as integers."""

    def save_model(
        self, model: FloatModel, folder: Path, part: Part, graph: GraphSpec, *, half: bool
    ) -> ExportedGraph:
        """Write a graph; ``graph`` describes the float one that it was made from."""

    def tool_versions(self) -> dict[str, str]:
        """Return the versions of what quantizes."""


def load_toolkit(recipe: Recipe, manifest: Manifest) -> tuple[Toolkit, Recipe]:
    """Import what quantizes a bundle by a recipe; return it, and the recipe with the toolkit's name in it.

    Raises:
        InputError: nobody knows the toolkit, or it does not take the bundle's graphs.
        MissingPackageError: it is not installed.
    """
    name = recipe.toolkit or TOOLKIT_OF_TARGET.get(manifest.target)
    if name is None:
        raise InputError(
            f"nothing here quantizes bundles for {manifest.target!r}, only for {', '.join(TOOLKIT_OF_TARGET)}"
        )
    if name not in TOOLKITS:
        raise InputError(f"recipe {recipe.name!r}: unknown toolkit {name!r}; known are {', '.join(TOOLKITS)}")
    entry = TOOLKITS[name]
    try:
        toolkit = cast(Toolkit, import_one_at_a_time(entry.module))
    except ModuleNotFoundError as error:
        raise MissingPackageError.for_task("quantizing", error.name, extra=entry.extras) from error
    for part, graph in manifest.graphs.items():
        if graph.format not in toolkit.FORMATS:
            raise InputError(
                f"{name} quantizes graphs of format {', '.join(toolkit.FORMATS)}, the {part} graph "
                f"is {graph.format!r}"
            )
    toolkit.check_recipe(recipe)
    return toolkit, msgspec.structs.replace(recipe, toolkit=name)
