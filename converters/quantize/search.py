"""A search for the layers that have to stay in float for a quantized bundle to lose no more than allowed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edgeblend.arguments.callbacks import Say
from edgeblend.converters.opened import OpenGraph
from edgeblend.converters.quantize.part import QuantizedPart
from edgeblend.converters.quantize.probe import LayerSensitivity
from edgeblend.converters.quantize.toolkits import FloatModel
from edgeblend.converters.quantize.validation import Validation
from edgeblend.errors import AccuracyError
from edgeblend.manifest import Part, SearchSpec, SearchStep

DETECTOR_SHARE = 0.8
"""Share of the allowed drop for the detector. It is searched first; the basis graph gets what it leaves."""
RANKED_ON = 32
"""Number of pictures, those that lose most, on which the layers that cost most are found."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A graph that was quantized and measured."""

    model: FloatModel
    returned: int
    """Number of layers that were returned to float."""
    drop: float
    """Points that the bundle loses with this graph."""
    agreements: Sequence[float]
    """Agreement with the float network on each picture, 0 to 100."""


class Search:
    """Quantizes part after part, keeps what they lose together within a limit, and records what it tried."""

    def __init__(self, validation: Validation, max_drop: float, *, progress: Say = lambda step: None) -> None:
        """Prepare to search.

        Args:
            validation: measures drops.
            max_drop: the limit, in points of the validation's metric.
            progress: called with a few words after each attempt.
        """
        self._validation, self._max_drop, self._progress = validation, max_drop, progress
        self._steps: list[SearchStep] = []

    def quantize(
        self, part: QuantizedPart, kept: Collection[str], others: Mapping[Part, OpenGraph]
    ) -> FloatModel:
        """Return a graph in INT8, with the fewest of its costliest layers in float that hold the limit.

        The number of layers doubles until the limit holds; then halving the interval finds the fewest. Each
        attempt quantizes anew, so that ranges and biases fit the layers that are in float.

        Args:
            part: what to quantize.
            kept: layers that stay in float from the start.
            others: graphs that were quantized before.

        Raises:
            AccuracyError: one layer alone in INT8 loses too much.
            ConversionError: the toolkit does not take the graph.
        """
        limit = self._max_drop * (DETECTOR_SHARE if part.part == "detector" else 1)
        ranked: list[str] = []
        best: _Attempt | None = None
        count, too_few = 0, -1
        while best is None or best.returned - too_few > 1:
            attempt = self._attempt(part, kept, ranked[:count], others)
            if attempt.drop <= limit:
                best = attempt
            else:
                too_few = count
                ranked = ranked or self._costliest_first(part, kept, attempt.agreements)
            if best is not None:
                count = (too_few + best.returned) // 2
            elif too_few < len(ranked) - 1:
                count = min(max(1, 2 * too_few), len(ranked) - 1)
            else:
                raise nothing_in_int8(part.part)
        return best.model

    def finish(self, made: Mapping[Part, OpenGraph]) -> SearchSpec:
        """Measure the bundle as it is, and return what was tried.

        Raises:
            AccuracyError: it loses more than allowed.
        """
        drop, _ = self._validation.drop(made)
        if not drop <= self._max_drop:  # nan is not within it
            raise AccuracyError(
                f"the quantized bundle loses {drop:.2f} points of {self._validation.metric}, "
                f"{self._max_drop:g} are allowed, after {len(self._steps)} models were tried; nothing was "
                "written. Allow more, calibrate on more representative frames, or keep more in float from "
                "the start (float_layers)"
            )
        return SearchSpec(
            metric=self._validation.metric,
            pictures=len(self._validation.pictures),
            max_drop=self._max_drop,
            drop=round(drop, 4),
            steps=tuple(self._steps),
        )

    def _attempt(
        self,
        part: QuantizedPart,
        kept: Collection[str],
        returned: list[str],
        others: Mapping[Part, OpenGraph],
    ) -> _Attempt:
        """Quantize with some layers returned to float, and measure what that loses."""
        model = part.quantize({*kept, *returned})
        with part.opened(model) as graph:
            drop, agreements = self._validation.drop({**others, part.part: graph})
        in_float = len(part.layers_in_float(model))
        self._progress(f"{part.part}: {drop:.2f} lost with {in_float} layers in float")
        self._steps.append(
            SearchStep(graph=part.part, drop=round(drop, 4), returned=tuple(returned), float_layers=in_float)
        )
        return _Attempt(model, len(returned), drop, agreements)

    def _costliest_first(
        self, part: QuantizedPart, kept: Collection[str], agreements: Sequence[float]
    ) -> list[str]:
        """Return the layers that could return to float, those first that lose most when quantized alone.

        What they lose is measured on the pictures that agree least. Of layers that lose the same, that which
        adds more noise comes first.
        """
        worst = sorted(range(len(agreements)), key=lambda position: agreements[position])[:RANKED_ON]
        costs = part.layer_costs(lambda graph: self._validation.drop({part.part: graph}, worst)[0])
        ranked = sorted(costs, key=_cost, reverse=True)
        return [cost.layer for cost in ranked if cost.layer not in kept]


def _cost(layer: LayerSensitivity) -> tuple[float, float]:
    """Return what a layer loses, and its noise; what is no number costs most."""
    drop, noise = math.inf if layer.drop is None else layer.drop, -layer.sqnr_db
    return (math.inf if math.isnan(drop) else drop, math.inf if math.isnan(noise) else noise)


def nothing_in_int8(part: Part) -> AccuracyError:
    """Return the error of a graph that has to stay in float."""
    return AccuracyError(
        f"no layer of the {part} graph can be in INT8 within what may be lost; nothing was "
        f"written. Allow more (max_drop), or leave the graph in float ({part}: fp32)"
    )
