"""The layers of one graph, quantized one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.recording import OutputKey
from edgeblend.calibration.evaluation.sqnr import OutputSqnr, SqnrTally, sqnr_db
from edgeblend.converters.opened import OpenGraph, refuse_not_finite
from edgeblend.converters.quantize.toolkits import FloatModel, SizedItems, Toolkit
from edgeblend.manifest import Part
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.base import Array
from edgeblend.runtime.tensors import outputs_by_role

DEFAULT_FRAMES = 4
"""Number of frames whose outputs are compared. Outputs are held in memory: 25 MB per frame for a published
network at 512x736."""


@dataclass(frozen=True, slots=True)
class LayerSensitivity:
    """What quantizing one layer alone costs, without bias correction."""

    graph: Part
    layer: str
    """Its name in the checkpoint."""
    sqnr_db: float
    """Signal to noise of all outputs together, each weighted to the same power; the lowest costs most."""
    outputs: tuple[OutputSqnr, ...]
    drop: float | None
    """Points that the bundle loses; None where that was not measured."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One graph whose layers are quantized in turn."""

    part: Part
    toolkit: Toolkit
    model: FloatModel
    reference: OpenGraph
    """The same graph in float, open."""
    judge: Callable[[OpenGraph], float] | None = None
    """Measures what a bundle loses with a graph, in points."""

    def measure(
        self,
        items: SizedItems,
        recipe: Recipe,
        *,
        count: int = DEFAULT_FRAMES,
        progress: Callable[[str], None] = lambda step: None,
    ) -> Iterator[LayerSensitivity]:
        """Yield every layer in the order in which they run.

        Args:
            items: what the graph is calibrated on.
            recipe: how layers are quantized; those that it keeps in float are, too.
            count: on how many of the items outputs are compared.
            progress: called with a few words before each layer.

        Raises:
            ConversionError: the float bundle gives values that are not finite.
        """
        progress(f"measuring ranges of the {self.part} graph")
        picked = np.unique(np.linspace(0, len(items) - 1, min(len(items), count)).round().astype(int))
        wanted = set(picked.tolist())
        inputs = [item for position, item in enumerate(items) if position in wanted]
        expected = [self._outputs(self.reference, item) for item in inputs]
        for outputs in expected:
            refuse_not_finite(outputs, "the float bundle", "a calibration frame")
        names = self.toolkit.layer_names(self.model)
        with self.toolkit.each_alone(self.model, self.reference.spec, items, recipe) as alone:
            for number, layer in enumerate(names, 1):
                progress(f"{self.part} layer {number} of {len(names)}: {layer}")
                yield self._compare(layer, alone(layer), inputs, expected)

    def _compare(
        self,
        layer: str,
        graph: OpenGraph,
        inputs: Sequence[Mapping[str, Array]],
        expected: Sequence[Mapping[OutputKey, NDArray[np.float32]]],
    ) -> LayerSensitivity:
        tally = SqnrTally()
        for item, wanted in zip(inputs, expected, strict=True):
            tally.add(wanted, self._outputs(graph, item))
        outputs = tally.outputs()
        drop = None if self.judge is None else self.judge(graph)
        noise = float(np.mean([10 ** (-output.db / 10) for output in outputs]))
        return LayerSensitivity(self.part, layer, sqnr_db(1.0, noise), outputs, drop)

    def _outputs(self, graph: OpenGraph, item: Mapping[str, Array]) -> dict[OutputKey, NDArray[np.float32]]:
        found = outputs_by_role(graph.spec, graph.session.run(item))
        return {(self.part, role, level): np.array(value) for (role, level), value in found.items()}
