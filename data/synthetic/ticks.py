"""Rounding to Hyperliquid's price grid that gives clean doubles, so that their text is the price.

A whole number divided by a power of ten is the double nearest to its decimal; a multiple of a step need
not be (21 234 × 0.00001 is 0.21234000000000003).
"""

import numpy as np

from data.synthetic.arrays import Floats
from venues.hyperliquid.ticks import ON_GRID, price_steps


def round_down(prices: Floats, price_decimals: int) -> Floats:
    """Return the highest valid prices at or below the given ones."""
    scale = _steps_per_usd(prices, price_decimals)
    return np.asarray(np.floor(prices * scale + ON_GRID) / scale)


def round_up(prices: Floats, price_decimals: int) -> Floats:
    """Return the lowest valid prices at or above the given ones."""
    scale = _steps_per_usd(prices, price_decimals)
    return np.asarray(np.ceil(prices * scale - ON_GRID) / scale)


def round_near(prices: Floats, price_decimals: int) -> Floats:
    """Return the nearest valid prices."""
    scale = _steps_per_usd(prices, price_decimals)
    return np.asarray(np.rint(prices * scale) / scale)


def _steps_per_usd(prices: Floats, price_decimals: int) -> Floats:
    return np.asarray(np.rint(1.0 / price_steps(prices, price_decimals)))
