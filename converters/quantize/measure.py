"""How far a quantized bundle is from the float one, on calibration frames."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from edgeblend.bundle import Bundle
from edgeblend.calibration.evaluation.agreement_totals import AgreementTotals, compare_instances, totals_of
from edgeblend.calibration.evaluation.recording import OutputKey, run_graphs
from edgeblend.calibration.evaluation.sqnr import SqnrTally
from edgeblend.calibration.sampling.sample import CalibrationSet
from edgeblend.converters.finite import refuse_not_finite
from edgeblend.converters.opened import OpenGraph
from edgeblend.errors import ConversionError
from edgeblend.manifest import AgreementSpec, Manifest, Part, TensorNoise
from edgeblend.runtime.attention import load_attention
from edgeblend.runtime.backends.base import Session
from edgeblend.runtime.segmenter import Segmenter

_FRAMES = 16


def measure_agreement(
    source: Bundle,
    reference: Mapping[Part, OpenGraph],
    candidate: Mapping[Part, OpenGraph],
    frames: CalibrationSet,
) -> AgreementSpec:
    """Compare instances and every graph output with the float bundle's, on frames spread over the set.

    Args:
        source: the float bundle.
        reference: its graphs.
        candidate: those of the quantized one.
        frames: what it was calibrated on.

    Raises:
        ConversionError: an output of either is not finite, or all noise.
    """
    expected = bare_segmenter(source, reference)
    actual = bare_segmenter(source, candidate)
    chosen = set(np.linspace(0, len(frames) - 1, min(len(frames), _FRAMES)).round().astype(int).tolist())
    totals, tally = AgreementTotals(), SqnrTally()
    for position, frame in enumerate(frames):
        if position in chosen:
            wanted = run_graphs(_sessions(reference), described(source, reference), frame.picture)
            refuse_not_finite(wanted, "the float bundle")
            tally.add(
                wanted,
                run_graphs(_sessions(candidate), described(source, candidate), frame.picture),
            )
            _refuse_noise(tally)
            totals += totals_of(compare_instances(expected(frame.picture), actual(frame.picture)))
    names: dict[OutputKey, str] = {
        (part, spec.role, spec.level): spec.name
        for part, graph in candidate.items()
        for spec in graph.spec.outputs
    }
    return AgreementSpec(
        frames=len(chosen),
        agreement=round(totals.agreement, 3),
        tensors=tuple(
            TensorNoise(
                graph=output.graph,
                tensor=names[output.graph, output.role, output.level],
                sqnr_db=round(output.db, 2) if np.isfinite(output.db) else None,
            )
            for output in tally.outputs()
        ),
    )


def _refuse_noise(tally: SqnrTally) -> None:
    if broken := [output.name for output in tally.outputs() if output.db == -np.inf]:
        raise ConversionError(
            f"the quantized graphs give values that are not finite, or noise alone, for {', '.join(broken)}; "
            "nothing was written"
        )


def bare_segmenter(bundle: Bundle, graphs: Mapping[Part, OpenGraph]) -> Segmenter:
    """Return a segmenter over graphs, with everything else from a bundle; it is not to be closed."""
    file = bundle.manifest.attention.file
    layer = load_attention(bundle.file(file), bundle.manifest.blend) if file else None
    return Segmenter(described(bundle, graphs), _sessions(graphs), attention=layer)


def described(bundle: Bundle, graphs: Mapping[Part, OpenGraph]) -> Manifest:
    """Return a bundle's manifest as it would be with these graphs."""
    specs = {part: graph.spec for part, graph in graphs.items()}
    return msgspec.structs.replace(bundle.manifest, graphs=specs)


def _sessions(graphs: Mapping[Part, OpenGraph]) -> dict[Part, Session]:
    return {part: graph.session for part, graph in graphs.items()}
