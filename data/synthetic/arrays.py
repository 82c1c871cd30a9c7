"""Array types, and the two filters that synthetic paths are made with."""

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def smooth(values: Floats, step_ns: int, half_life_ns: int) -> Floats:
    """Return the exponentially weighted mean so far: past values only."""
    alpha = 1.0 - 0.5 ** (step_ns / half_life_ns)
    return np.array(list(accumulate(values.tolist(), lambda mean, value: mean + alpha * (value - mean))))


def mean_reverting(noise: Floats, step_ns: int, half_life_ns: int) -> Floats:
    """Turn white noise into a stationary AR(1) path of unit variance with the given half-life."""
    alpha = 1.0 - 0.5 ** (step_ns / half_life_ns)
    stationary = np.sqrt(alpha / (2.0 - alpha))
    noise = noise.copy()
    noise[0] *= stationary  # the smoothed path starts as spread out as it stays
    return np.asarray(smooth(noise, step_ns, half_life_ns) / stationary)
