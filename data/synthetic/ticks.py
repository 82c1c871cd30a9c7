"""Hyperliquid's price grid, for arrays: at most five significant figures, and whole numbers always.

Each result is a whole number divided by a power of ten, hence the double nearest to its decimal.
Source: Hyperliquid's tick and lot size rules.
"""

import numpy as np

from data.synthetic.arrays import Floats

SIGNIFICANT_FIGURES = 5
_SLACK = 1e-6  # of a tick: a price that is valid already stays, whatever the product's last bit


def _scale(prices: Floats, price_decimals: int) -> Floats:
    magnitude = np.floor(np.log10(prices)).astype(np.int64)
    decimals = np.clip(SIGNIFICANT_FIGURES - 1 - magnitude, 0, price_decimals)
    return np.asarray(10.0**decimals)


def round_down(prices: Floats, price_decimals: int) -> Floats:
    """Return the highest valid prices at or below the given ones, to a millionth of a tick."""
    scale = _scale(prices, price_decimals)
    return np.asarray(np.floor(prices * scale + _SLACK) / scale)


def round_up(prices: Floats, price_decimals: int) -> Floats:
    """Return the lowest valid prices at or above the given ones, to a millionth of a tick."""
    scale = _scale(prices, price_decimals)
    return np.asarray(np.ceil(prices * scale - _SLACK) / scale)


def round_near(prices: Floats, price_decimals: int) -> Floats:
    """Return the nearest valid prices."""
    scale = _scale(prices, price_decimals)
    return np.asarray(np.rint(prices * scale) / scale)
