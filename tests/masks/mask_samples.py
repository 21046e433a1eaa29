"""Random masks that several tests share."""

import numpy as np


def blobs(rng, shape):
    """Smooth random shapes with holes, and runs of many lengths."""
    noise = rng.standard_normal(shape)
    for axis in (0, 1):
        noise = sum(np.roll(noise, shift, axis) for shift in range(-3, 4))
    return noise > 0
