"""The check that what others are judged by, or calibrated on, holds numbers alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.recording import OutputKey
from edgeblend.errors import ConversionError


def refuse_not_finite(outputs: Mapping[OutputKey, NDArray[np.float32]], who: str) -> None:
    """Refuse outputs that nothing can be compared with.

    Args:
        outputs: of the graphs of the network that is taken for right.
        who: that network, such as ``the float bundle``.

    Raises:
        ConversionError: values are nan or infinite; names the outputs and how many values.
    """
    broken = []
    for (part, role, level), values in outputs.items():
        if count := int(np.count_nonzero(~np.isfinite(values))):
            name = f"{role} {level}" if level else role
            broken.append(f"{count} of {values.size} values of {part} output {name}")
    if broken:
        raise ConversionError(
            f"{who} gives nan or infinity for a picture: {', '.join(broken)}; nothing can be compared with "
            "it, and nothing was written. Use another checkpoint"
        )
