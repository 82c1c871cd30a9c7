"""Book depth behind synthetic quotes, for runs in which a large order shall walk the book."""

import numpy as np
import pyarrow as pa

from data.frames import BOOK
from data.synthetic.arrays import Floats, Ints
from data.synthetic.ticks import round_down, round_up
from risk.errors import InvalidInput
from risk.market import SymbolSpec

_MIN_GAP = 0.0001  # of the price: five significant figures never make a tick wider
_GROWTH = 0.5  # each level adds this share of the best one's size


def book_behind(quotes: pa.Table, spec: SymbolSpec, levels: int) -> pa.Table:
    """Return a BOOK snapshot of ``levels`` a side for every quote; level 0 is the quote itself.

    Levels lie a spread apart, at least a basis point, and grow with their distance.
    Raise InvalidInput unless ``levels`` is at least 1.
    """
    if levels < 1:
        raise InvalidInput(f"levels was {levels}: must be at least 1")
    bid, ask, bid_size, ask_size = (
        quotes[name].to_numpy()[:, np.newaxis] for name in ("bid", "ask", "bid_size", "ask_size")
    )
    level = np.arange(levels)
    distance = level * np.maximum((ask - bid) / bid, _MIN_GAP)
    prices = np.hstack(
        [
            round_down(bid * (1.0 - distance), spec.price_decimals),
            round_up(ask * (1.0 + distance), spec.price_decimals),
        ]
    )
    sizes = np.hstack([_deeper(size, level, spec.size_decimals) for size in (bid_size, ask_size)])
    count = len(quotes)
    columns = {
        "ts": np.repeat(quotes["ts"].to_numpy(), 2 * levels),
        "side": np.tile(np.repeat(["BUY", "SELL"], levels), count),
        "level": np.tile(level, 2 * count),
        "price": prices.ravel(),
        "size": sizes.ravel(),
    }
    return pa.table(columns, schema=BOOK)


def _deeper(best: Floats, level: Ints, size_decimals: int) -> Floats:
    return np.asarray(np.round(best * (1.0 + _GROWTH * level), size_decimals))
