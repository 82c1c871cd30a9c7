"""What lies behind each mark of a tape: settings do not change it, so it is worked out once for all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from risk.settings import HOUR_NS

_Int = np.ndarray[Any, np.dtype[np.int64]]
_Float = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class MarkHistory:
    """Hold, for each of many marks in order of time, what ``MarketWatch`` would know of its symbol by then.

    ``ts`` are UTC nanoseconds, ``symbols`` numbers; ``seq`` counts the symbol's marks up to this one,
    ``previous`` is the one before it (the first: itself), ``low`` and ``high`` are the extremes of 60 minutes.
    """

    ts: _Int
    symbols: _Int
    seq: _Int
    previous: _Float
    low: _Float
    high: _Float

    @classmethod
    def of(cls, ts: _Int, symbols: _Int, marks: _Float) -> "MarkHistory":
        """Work out the history of ``marks``, which came for ``symbols`` at ``ts``, ascending."""
        seq = np.zeros(len(marks), dtype=np.int64)
        previous, low, high = (np.zeros(len(marks)) for _ in range(3))
        for symbol in np.unique(symbols):
            rows = np.flatnonzero(symbols == symbol)
            own, times = marks[rows], ts[rows]
            seq[rows] = np.arange(1, len(rows) + 1)
            previous[rows] = np.concatenate((own[:1], own[:-1]))
            first = np.searchsorted(times, times - HOUR_NS)
            low[rows], high[rows] = _extremes(own, first, np.minimum), _extremes(own, first, np.maximum)
        return cls(ts, symbols, seq, previous, low, high)


def _extremes(values: _Float, first: _Int, pick: Callable[[_Float, _Float], _Float]) -> _Float:
    """Return the extreme of each ``values[first[i] : i + 1]``, by windows whose widths double.

    Any window is covered by two of the widest power of two that fits into it.
    """
    widths = np.arange(1, len(values) + 1) - first
    found = np.empty_like(values)
    width, ending = 1, values  # ending[i]: the extreme of the ``width`` values up to the i-th
    while True:
        fits = np.flatnonzero((widths >= width) & (widths < 2 * width))
        found[fits] = pick(ending[fits], ending[first[fits] + width - 1])
        if 2 * width > widths.max():
            return found
        ending = np.concatenate((ending[:width], pick(ending[width:], ending[:-width])))
        width *= 2
