"""One graph that is quantized: how, on what, and what each of its layers costs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeblend.arguments.callbacks import Say
from edgeblend.converters.opened import OpenGraph, open_written
from edgeblend.converters.quantize.probe import LayerSensitivity, Probe
from edgeblend.converters.quantize.toolkits import FloatModel, SizedItems, Toolkit
from edgeblend.files.temporary import temporary_folder
from edgeblend.manifest import Part, TensorQuantization
from edgeblend.recipe import Recipe


@dataclass(frozen=True, slots=True)
class QuantizedPart:
    """A graph to quantize, once or again and again with other layers in float."""

    part: Part
    target: str
    toolkit: Toolkit
    model: FloatModel
    """The graph in float."""
    reference: OpenGraph
    """The same, open."""
    items: SizedItems
    """What it is calibrated on."""
    recipe: Recipe
    arriving: Mapping[str, TensorQuantization]
    """How inputs will come, by name, where they come as integers."""
    progress: Say

    def layer_costs(self, judge: Callable[[OpenGraph], float] | None = None) -> list[LayerSensitivity]:
        """Return what quantizing each layer alone costs, in the order in which they run.

        Args:
            judge: measures what the bundle loses with a graph, in points; None: no drop is measured.
        """
        probe = Probe(self.part, self.toolkit, self.model, self.reference, judge)
        return list(probe.measure(self.items, self.recipe, progress=self.progress))

    def kept_by_recipe(self) -> frozenset[str]:
        """Return the layers that the recipe keeps in float: by name, by role, or by what they cost alone."""
        kept = set(self.toolkit.float_layers(self.model, self.reference.spec, self.recipe))
        limit = self.recipe.float_below_db.get(self.part)
        if limit is not None:
            kept |= {layer.layer for layer in self.layer_costs() if not layer.sqnr_db >= limit}
        return frozenset(kept)

    def quantize(self, float_layers: Collection[str]) -> FloatModel:
        """Return the graph in INT8, but for layers that stay in float."""
        return self.toolkit.quantize_model(
            self.model, self.items, self.recipe, float_layers=sorted(float_layers), arriving=self.arriving
        )

    def layers_in_float(self, model: FloatModel) -> tuple[str, ...]:
        """Return the layers that a quantized graph computes in float, in the order in which they run."""
        in_int8 = set(self.toolkit.layers_in_int8(model))
        return tuple(name for name in self.toolkit.layer_names(model) if name not in in_int8)

    @contextmanager
    def opened(self, model: FloatModel) -> Iterator[OpenGraph]:
        """Enter to run a quantized graph as it would run from a bundle."""
        spec = self.reference.spec
        with temporary_folder(f"the {self.part} graph") as folder, ExitStack() as stack:
            written = self.toolkit.save_model(model, Path(folder), self.part, spec, half=False)
            yield open_written(self.target, written.spec(spec.format, "int8"), Path(folder), stack)
