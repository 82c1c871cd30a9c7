"""Hyperliquid's price grid, for arrays: at most five significant figures, and whole numbers always.

Each result is a whole number divided by a power of ten, hence the double nearest to its decimal.
Source: Hyperliquid's tick and lot size rules.
"""

import numpy as np

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
SIGNIFICANT_FIGURES = 5


def _scale(prices: Floats, price_decimals: int) -> Floats:
    magnitude = np.floor(np.log10(prices)).astype(np.int64)
    decimals = np.clip(SIGNIFICANT_FIGURES - 1 - magnitude, 0, price_decimals)
    return np.asarray(10.0**decimals)


def round_down(prices: Floats, price_decimals: int) -> Floats:
    """Return the highest valid prices that are not above the given ones."""
    scale = _scale(prices, price_decimals)
    return np.asarray(np.floor(prices * scale) / scale)


def round_up(prices: Floats, price_decimals: int) -> Floats:
    """Return the lowest valid prices that are not below the given ones."""
    scale = _scale(prices, price_decimals)
    return np.asarray(np.ceil(prices * scale) / scale)


def round_near(prices: Floats, price_decimals: int) -> Floats:
    """Return the nearest valid prices."""
    scale = _scale(prices, price_decimals)
    return np.asarray(np.rint(prices * scale) / scale)
