"""The check that reference outputs are finite."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.recording import OutputKey
from edgeblend.errors import ConversionError


def refuse_not_finite(outputs: Mapping[OutputKey, NDArray[np.float32]], who: str, image: str) -> None:
    """Refuse outputs that nothing can be compared with.

    Args:
        outputs: the outputs of the network that is taken for right.
        who: that network, such as ``the float bundle``.
        image: name of the image that it ran on.

    Raises:
        ConversionError: values are nan or infinite. The message names the outputs and counts the values.
    """
    broken = []
    for (part, role, level), values in outputs.items():
        if count := int(np.count_nonzero(~np.isfinite(values))):
            name = f"{role} {level}" if level else role
            broken.append(f"{count} of {values.size} values of {part} output {name}")
    if broken:
        raise ConversionError(
            f"{who} gives nan or infinity for {image}: {', '.join(broken)}; nothing can be compared with "
            "it, and nothing was written. Use another checkpoint"
        )
