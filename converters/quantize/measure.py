"""How far a quantized bundle is from the float one, on calibration frames."""

from __future__ import annotations

import numpy as np

from edgeblend.calibration.evaluation.agreement_totals import AgreementTotals, compare_instances, totals_of
from edgeblend.calibration.evaluation.sqnr import SqnrTally
from edgeblend.calibration.sampling.sample import CalibrationSet
from edgeblend.converters.opened import OpenNetwork, refuse_not_finite
from edgeblend.errors import ConversionError
from edgeblend.manifest import AgreementSpec, TensorNoise

_FRAMES = 16


def measure_agreement(
    reference: OpenNetwork, candidate: OpenNetwork, frames: CalibrationSet
) -> AgreementSpec:
    """Compare the instances and every graph output of two networks, on frames spread over a set.

    Args:
        reference: the float network.
        candidate: the quantized one.
        frames: what it was calibrated on.

    Raises:
        ConversionError: an output of either is not finite, or all noise.
    """
    chosen = set(np.linspace(0, len(frames) - 1, min(len(frames), _FRAMES)).round().astype(int).tolist())
    totals, tally = AgreementTotals(), SqnrTally()
    for position, frame in enumerate(frames):
        if position in chosen:
            wanted = reference.outputs(frame.picture)
            refuse_not_finite(wanted, "the float bundle", frame.name)
            tally.add(wanted, candidate.outputs(frame.picture))
            _refuse_noise(tally)
            expected, actual = reference.segment(frame.picture), candidate.segment(frame.picture)
            totals += totals_of(compare_instances(expected, actual))
    names = candidate.output_names()
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
