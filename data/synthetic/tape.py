"""What a synthetic user reads of one symbol's market: the last quote, past moves, and what comes next."""

from decimal import Decimal

import numpy as np

from data.synthetic.market import MarketFrames
from data.synthetic.ticks import round_near
from risk.market import SymbolSpec


class Tape:
    """Index one symbol's quotes and marks by time; positions in it are row numbers."""

    def __init__(self, spec: SymbolSpec, frames: MarketFrames):
        self.spec = spec
        self.ts = frames.quotes["ts"].to_numpy()
        self.bid = frames.quotes["bid"].to_numpy()
        self.ask = frames.quotes["ask"].to_numpy()
        self.mark = frames.marks["mark"].to_numpy()

    def row(self, ts: int) -> int:
        """Return the last row at or before ``ts``, the first row for earlier times."""
        return max(0, int(np.searchsorted(self.ts, ts, side="right")) - 1)

    def move(self, begin: int, end: int) -> float:
        """Return the mark's relative change between two times."""
        return float(self.mark[self.row(end)] / self.mark[self.row(begin)] - 1.0)

    def when_moved(self, begin: int, end: int, side: int, move: float) -> int | None:
        """Return when the mark has first gone ``move`` in the direction of ``side`` since ``begin``."""
        first, last = self.row(begin), self.row(end)
        gone = side * (self.mark[first + 1 : last + 1] / self.mark[first] - 1.0) >= move
        return int(self.ts[first + 1 + np.argmax(gone)]) if gone.any() else None

    def when_touched(self, begin: int, end: int, side: int, limit: float) -> int | None:
        """Return when a limit order of ``side``, resting since ``begin``, is first touched."""
        first, last = self.row(begin), self.row(end)
        touched = self.ask[first : last + 1] <= limit if side > 0 else self.bid[first : last + 1] >= limit
        return max(begin, int(self.ts[first + np.argmax(touched)])) if touched.any() else None

    def best(self, ts: int, side: int) -> float:
        """Return the near side's best price: the bid for a buyer, the ask for a seller."""
        return float((self.bid if side > 0 else self.ask)[self.row(ts)])

    def valid_price(self, price: float) -> float:
        """Return the nearest price the venue would take."""
        return float(round_near(np.array([price]), self.spec.price_decimals)[0])

    def lots(self, ts: int, notional_usd: float) -> int:
        """Return how many lots ``notional_usd`` buys at the mark of that time."""
        return int(notional_usd / self.mark[self.row(ts)] * 10.0**self.spec.size_decimals)

    def max_leverage(self, notional_usd: float) -> int:
        """Return the highest leverage the symbol's margin table allows at that notional."""
        tiers = self.spec.tiers
        return tiers.leverages[tiers.index(Decimal(int(notional_usd)))]


def price_text(price: float) -> str:
    """Write a valid price as the decimal it stands for, without an exponent."""
    return f"{Decimal(repr(price)):f}"
