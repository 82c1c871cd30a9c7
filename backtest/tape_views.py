"""The market of a tape as the core is shown it: what a symbol's view is after any row, whatever the settings."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backtest.mark_history import MarkHistory
from risk.market import SymbolSpec, SymbolView
from risk.numbers import exact

MOST_KEPT = 1 << 17  # views, of less than a kilobyte each
_Array = np.ndarray[Any, Any]


class TapeViews:
    """Make the views of a tape, whose columns these are, and keep them: most runs ask for the same ones."""

    def __init__(
        self, specs: Sequence[SymbolSpec], ts: _Array, codes: _Array, quotes: _Array, marks: _Array
    ) -> None:
        self._specs = specs
        self._ts = ts
        self._codes = codes
        self._quotes = quotes
        self._marks = marks
        is_tick, is_mark = codes >= 0, (codes >= 0) & (codes % 2 == 1)
        self.mark_rows = np.flatnonzero(is_mark)
        self.history = MarkHistory.of(ts[is_mark], codes[is_mark] // 2, marks)
        self._mark_by = _last_of_symbol(codes, is_mark)
        self._quote_by = _last_of_symbol(codes, is_tick & ~is_mark)
        self._kept: dict[int, SymbolView] = {}

    def after(self, row: int) -> SymbolView | None:
        """Return the view after a quote or mark of its symbol; None while it has not had both."""
        view = self._kept.get(row)
        if view is None:
            quote, mark = self._quote_by.item(row), self._mark_by.item(row)
            if quote < 0 or mark < 0:
                return None
            view = self._made(row, quote, mark)
            if len(self._kept) < MOST_KEPT:
                self._kept[row] = view
        return view

    def _made(self, row: int, quote: int, number: int) -> SymbolView:
        spec, history = self._specs[self._codes.item(row) // 2], self.history
        places = spec.price_decimals
        bid, ask, bid_size, ask_size = self._quotes[quote].tolist()
        mark = exact(self._marks.item(number), places)
        return SymbolView(
            symbol=spec.symbol,
            ts=history.ts.item(number),
            mark=mark,
            prev_mark=exact(history.previous.item(number), places),
            oracle=mark,
            low_60m=exact(history.low.item(number), places),
            high_60m=exact(history.high.item(number), places),
            seen_ns=self._ts.item(row),
            bids=((exact(bid, places), exact(bid_size, spec.size_decimals)),),
            asks=((exact(ask, places), exact(ask_size, spec.size_decimals)),),
            mark_seq=history.seq.item(number),
        )


def _last_of_symbol(codes: _Array, wanted: _Array) -> _Array:
    """Return for each tick the number, among the ``wanted`` rows, of its symbol's last one by then, or −1."""
    numbers = np.where(wanted, np.cumsum(wanted) - 1, -1).astype(np.int32)
    for symbol in np.unique(codes[codes >= 0] // 2):
        rows = np.flatnonzero(codes // 2 == symbol)
        numbers[rows] = np.maximum.accumulate(numbers[rows])
    return numbers
