"""Hyperliquid's price grid: at most five significant figures and the coin's decimals; integers always.

Rounding divides a whole number by a power of ten: that is the float nearest to the decimal, so its text is
the price. A multiple of the step need not be (21 234 × 0.00001 is 0.21234000000000003).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIGNIFICANT_FIGURES = 5
# Floats carry 15 digits: what is nearer to the grid than this share of a step lies on it.
ON_GRID = 1e-6


def price_steps(prices: Floats, price_decimals: int) -> Floats:
    """Return the step of the grid at each of ``prices`` (> 0), in USDC."""
    return 1.0 / _steps_per_usdc(prices, price_decimals)


def floor_prices(prices: Floats, price_decimals: int) -> Floats:
    """Round down to the grid."""
    scale = _steps_per_usdc(prices, price_decimals)
    return np.floor(prices * scale + ON_GRID) / scale


def ceil_prices(prices: Floats, price_decimals: int) -> Floats:
    """Round up to the grid."""
    scale = _steps_per_usdc(prices, price_decimals)
    return np.ceil(prices * scale - ON_GRID) / scale


def _steps_per_usdc(prices: Floats, price_decimals: int) -> Floats:
    whole_digits = np.floor(np.log10(prices)).astype(np.int64) + 1
    decimals = np.clip(SIGNIFICANT_FIGURES - whole_digits, 0, price_decimals)
    return np.power(10.0, decimals, dtype=np.float64)
