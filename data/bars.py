"""Bars → a path of prices → marks and quotes.

A bar says nothing about the order of its high and low. The path visits open, then the extreme against the
bar's own direction, then the other, then close: low first in a bar that rises, high first in one that
falls. So a stop on the losing side of the move is met before the move pays, and no position is spared by a
kind order of events. The four points are stamped at the bar's start, at one and two quarters of it, and
one nanosecond before its end: no price is known before its bar began, nor a close before its bar is over.
That the high and the low are dated at all is the path's assumption; decisions taken inside a bar inherit it.

Missing bars leave a gap: nothing is invented. Bars without volume were filled in by someone upstream and
are dropped by the readers that know so.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data.frames import MARKS, QUOTES
from risk.errors import InvalidInput
from risk.market import SymbolSpec
from venues.hyperliquid.ticks import ceil_prices, floor_prices

POINTS_PER_BAR = 4


@dataclass(frozen=True, slots=True)
class QuoteModel:
    """Say what book stands around a mark: its full spread and the notional at the best price of a side.

    Real quotes are better where there are any. Depth does not follow a bar's volume: that is known only
    when the bar is over.
    """

    spread_bps: float = 2.0
    depth_notional: float = 100_000.0

    def __post_init__(self) -> None:
        if not 0 <= self.spread_bps < 10_000:
            raise InvalidInput(f"spread_bps was {self.spread_bps}, it must be 0 or more and below 10000")
        if not 0 < self.depth_notional < float("inf"):
            raise InvalidInput(f"depth_notional was {self.depth_notional}, it must be above 0")


def bar_path(bars: pa.Table, bar_ns: int) -> pa.Table:
    """Return the path of prices through BARS of length ``bar_ns`` as a MARKS table, four rows per bar."""
    ts_open = bars["ts_open"].to_numpy()
    early = np.flatnonzero(np.diff(ts_open) < bar_ns)
    if early.size:
        before, at = ts_open[early[0]], ts_open[early[0] + 1]
        raise InvalidInput(f"bar at {at}: it must open {bar_ns} ns or more after the one at {before}")
    opens, highs, lows, closes = (bars[name].to_numpy() for name in ("open", "high", "low", "close"))
    rises = closes >= opens
    first, second = np.where(rises, lows, highs), np.where(rises, highs, lows)
    prices = np.stack([opens, first, second, closes], axis=1).ravel()
    offsets = np.array([0, bar_ns // 4, bar_ns // 2, bar_ns - 1])
    return pa.table({"ts": (ts_open[:, None] + offsets).ravel(), "mark": prices}, MARKS)


def quotes_around(
    marks: pa.Table, spec: SymbolSpec, model: QuoteModel, traded: np.ndarray | None = None
) -> pa.Table:
    """Return QUOTES on Hyperliquid's price grid around MARKS: bid rounded down, ask up, at least one tick.

    Where ``traded`` (one truth per mark) the mark is itself the price of a trade, so that both sides could
    be had at it: bid and ask meet there.
    """
    mids = marks["mark"].to_numpy()
    traded = np.zeros(mids.shape, dtype=bool) if traded is None else traded
    half = np.where(traded, 0.0, model.spread_bps / 20_000)
    bid = floor_prices(mids * (1 - half), spec.price_decimals)
    ask = ceil_prices(mids * (1 + half), spec.price_decimals)
    tick = 10.0**-spec.price_decimals
    narrow = ~traded & (ask - bid < tick / 2)
    ask = np.where(narrow, ceil_prices(bid + tick, spec.price_decimals), ask)
    lot = float(spec.lot)
    sizes = np.maximum(np.floor(model.depth_notional / mids / lot), 1) * lot
    columns = {"ts": marks["ts"], "bid": bid, "ask": ask, "bid_size": sizes, "ask_size": sizes}
    return pa.table(columns, QUOTES)
