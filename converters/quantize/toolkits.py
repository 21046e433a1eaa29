"""The toolkits that quantize: our own as data, others through entry points.

Each is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from edgeblend.converters.opened import ExportedGraph, OpenGraph
from edgeblend.converters.third_party import import_one_at_a_time, load_registered
from edgeblend.engine_packages import registered
from edgeblend.errors import InputError, MissingPackageError
from edgeblend.manifest import GraphSpec, Part, TensorQuantization
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.base import Array


@dataclass(frozen=True, slots=True)
class ToolkitEntry:
    """Where a toolkit is driven, and how to install it."""

    module: str
    extras: str
    """The extras of edgeblend that install what it needs."""


TOOLKITS = {
    "nncf": ToolkitEntry("edgeblend.converters.openvino.toolkit", "quantize"),
    "nncf-onnx": ToolkitEntry("edgeblend.converters.onnx.toolkit", "quantize,convert-onnxruntime"),
    "ai-edge-quantizer": ToolkitEntry("edgeblend.converters.tflite.toolkit", "convert-tflite"),
}
"""By the name that a recipe's ``toolkit`` has."""

ENTRY_POINT_GROUP = "edgeblend.toolkits"
"""The group in which other packages register what has the members of :class:`Toolkit`, by its name.

A toolkit with the name of a target quantizes that target's bundles where the recipe names none."""

TOOLKIT_OF_TARGET = {"openvino": "nncf", "onnxruntime": "nncf-onnx", "tflite": "ai-edge-quantizer"}
"""The toolkit that quantizes a target's bundles where the recipe names none."""

FloatModel = Any
"""A graph as the toolkit holds it."""


class SizedItems(Protocol):
    """A graph's inputs by name, frame after frame; they can be gone through again."""

    def __iter__(self) -> Iterator[dict[str, Array]]: ...

    def __len__(self) -> int: ...


class Toolkit(Protocol):
    """What a toolkit's module offers."""

    FORMATS: tuple[str, ...]
    """The formats of graphs that it takes, by the manifest's names."""

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
        """Return a graph with its layers in INT8; the float one is not changed.

        Equal arguments give equal graphs: a search quantizes again and again, and bundles are reproducible.

        Args:
            model: in float.
            items: what it is calibrated on.
            recipe: how.
            float_layers: names of layers that stay in float.
            arriving: by name, how the inputs that come as integers are stored. A graph that takes integers
                should take the same.

        Raises:
            ConversionError: the toolkit does not take the graph.
        """

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


def load_toolkit(recipe: Recipe, target: str, formats: Mapping[Part, str]) -> tuple[Toolkit, Recipe]:
    """Import what quantizes bundles by a recipe; return it, and the recipe with the toolkit's name in it.

    Args:
        recipe: how to quantize.
        target: of the bundle.
        formats: of the bundle's graphs.

    Raises:
        InputError: the toolkit is unknown, or does not take the graphs or the recipe.
        MissingPackageError: it is not installed.
        EngineError: it cannot be imported.
    """
    others = registered(ENTRY_POINT_GROUP)
    name = recipe.toolkit or TOOLKIT_OF_TARGET.get(target) or (target if target in others else None)
    if name is None:
        raise InputError(
            f"nothing here quantizes bundles for {target!r}, only for {', '.join(TOOLKIT_OF_TARGET)}"
        )
    if name in TOOLKITS:
        toolkit = _load_own(TOOLKITS[name])
    elif name in others:
        toolkit = cast(Toolkit, load_registered(others[name], "toolkit", Toolkit))
    else:
        known = ", ".join([*TOOLKITS, *sorted(others)])
        raise InputError(f"recipe {recipe.name!r}: unknown toolkit {name!r}; known are {known}")
    for part, form in formats.items():
        if form not in toolkit.FORMATS:
            raise InputError(
                f"{name} quantizes graphs of format {', '.join(toolkit.FORMATS)}, the {part} graph "
                f"is {form!r}"
            )
    toolkit.check_recipe(recipe)
    return toolkit, msgspec.structs.replace(recipe, toolkit=name)


def _load_own(entry: ToolkitEntry) -> Toolkit:
    try:
        return cast(Toolkit, import_one_at_a_time(entry.module))
    except ModuleNotFoundError as error:
        raise MissingPackageError.for_task("quantizing", error.name, extra=entry.extras) from error
