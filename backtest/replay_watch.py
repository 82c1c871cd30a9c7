"""The market watch of a replay: of a quiet tick it notes the row alone, and looks views up on the tape.

Which marks the guards could turn at is found for all of them at once. The rules are those of ``MarketWatch``,
which the tests compare.
"""

import math

import numpy as np

from backtest.tape import Tape
from risk.inputs import MarketUpdated
from risk.settings import Settings
from risk.watch import Bands, MarketWatch


class ReplayWatch(MarketWatch):
    """Watch a tape. Whoever plays it notes in ``seen`` the row of each symbol's last tick, and judges it.

    ``by_symbol`` are the limits of the tape's symbols; ``alarms[market.range_open]`` has a byte per row of the
    tape, not zero at a mark with which price sanity or the price range could turn.
    """

    def __init__(self, tape: Tape, settings: Settings) -> None:
        """Raise InvalidInput for a tape with a price or size that cannot be."""
        super().__init__(tape.specs, settings)
        self.by_symbol = [self._markets[symbol] for symbol in tape.specs]
        self.seen: dict[str, int] = {}
        self._tape = tape
        self._refuse_impossible()
        self.alarms = self._alarms()

    def _refuse_impossible(self) -> None:
        """Raise InvalidInput for the first quote, else the first mark, that cannot be."""
        tape, symbols, history = self._tape, list(self._tape.specs), self._tape.views.history
        smallest = np.array([market.smallest for market in self.by_symbol])
        quoted = tape.codes[tape.quote_rows] // 2
        bid, ask, bid_size, ask_size = tape.quotes.T
        good = (smallest[quoted] <= bid) & (bid <= ask) & (ask < np.inf)
        good &= (bid_size > 0) & (bid_size < np.inf) & (ask_size > 0) & (ask_size < np.inf)
        for bad in np.flatnonzero(~good)[:1].tolist():
            ts = tape.ts.item(tape.quote_rows.item(bad))
            self.on_quote(symbols[quoted.item(bad)], ts, *tape.quotes[bad].tolist())
        good = (smallest[history.symbols] <= tape.marks) & (tape.marks < np.inf)
        for bad in np.flatnonzero(~good)[:1].tolist():
            self.on_mark(symbols[history.symbols.item(bad)], history.ts.item(bad), tape.marks.item(bad))

    def _alarms(self) -> tuple[bytes, bytes]:
        """Return where the guards could turn, while the range is closed and while it is open."""
        tape, history = self._tape, self._tape.views.history
        limits = [(m.step, m.sanity_limit, m.range_limit, m.range_release) for m in self.by_symbol]
        step, sanity, opens, releases = np.array(limits)[history.symbols].T
        jumps = np.abs(tape.marks - history.previous) + step > sanity * history.previous
        width = history.high - history.low
        closed, is_open = np.zeros((2, len(tape.ts)), dtype=np.bool_)
        closed[tape.views.mark_rows] = jumps | (width + step > opens * history.low)
        is_open[tape.views.mark_rows] = jumps | (width - step < releases * history.low)
        return closed.tobytes(), is_open.tobytes()

    def set_bands(self, symbol: str, bands: Bands) -> None:
        """Take over bands; under quarantine no mark is quiet."""
        super().set_bands(symbol, bands)
        if bands.quarantined:
            self._markets[symbol].mark_low = math.inf

    def flush(self, ts: int) -> MarketUpdated | None:
        """Give the views that changed since the last flush, by symbol; None without any."""
        if not self.seen:
            return None
        after, found, early = self._tape.views.after, [], {}
        for symbol, row in sorted(self.seen.items()):
            view = after(row)
            if view is None:
                early[symbol] = row
            else:
                found.append(view)
        self.seen.clear()
        self.seen.update(early)
        return MarketUpdated(ts, tuple(found)) if found else None
