"""How far a quantized bundle is from the float one, on calibration frames."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeblend.bundle import Bundle
from edgeblend.calibration.agreement_totals import AgreementTotals, compare_instances, totals_of
from edgeblend.calibration.recording import OutputKey, run_graphs
from edgeblend.calibration.sampling import CalibrationSet
from edgeblend.calibration.sqnr import SqnrTally
from edgeblend.errors import ConversionError
from edgeblend.manifest import AgreementSpec, Manifest, Part, TensorNoise
from edgeblend.runtime.attention import load_attention
from edgeblend.runtime.backends.base import Session
from edgeblend.runtime.segmenter import Segmenter

_FRAMES = 16


def measure_agreement(
    source: Bundle,
    made: Manifest,
    reference: Mapping[Part, Session],
    candidate: Mapping[Part, Session],
    frames: CalibrationSet,
) -> AgreementSpec:
    """Compare instances and every graph output with the float bundle's, on frames spread over the set.

    Args:
        source: the float bundle.
        made: the manifest of the quantized one.
        reference: the float bundle's sessions.
        candidate: the quantized one's.
        frames: what it was calibrated on.

    Raises:
        ConversionError: an output is not finite, or is all noise.
    """
    expected = bare_segmenter(source, source.manifest, reference)
    actual = bare_segmenter(source, made, candidate)
    chosen = set(np.linspace(0, len(frames) - 1, min(len(frames), _FRAMES)).round().astype(int).tolist())
    totals, tally = AgreementTotals(), SqnrTally()
    for position, frame in enumerate(frames):
        if position in chosen:
            tally.add(
                run_graphs(reference, source.manifest, frame.picture),
                run_graphs(candidate, made, frame.picture),
            )
            _refuse_noise(tally)
            totals += totals_of(compare_instances(expected(frame.picture), actual(frame.picture)))
    names: dict[OutputKey, str] = {
        (part, spec.role, spec.level): spec.name
        for part, graph in made.graphs.items()
        for spec in graph.outputs
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


def bare_segmenter(bundle: Bundle, manifest: Manifest, sessions: Mapping[Part, Session]) -> Segmenter:
    """Return a segmenter over sessions, with the attention layer of a bundle; it is not to be closed."""
    file = bundle.manifest.attention.file
    return Segmenter(manifest, sessions, attention=load_attention(bundle.file(file)) if file else None)
