"""Users' own fills as a source of prices, for coins and times without candles.

A fill says what the market was in its second: the prints of one time make one price, weighted by size,
known from that time on. Liquidations, printed at the price of bankruptcy, and the liquidator's fills are
left out, also of the venue's candles, whose extremes they may be; so is a lone price more than ``MAX_JUMP``
away from both its neighbours where these agree.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.frames import MARKS

MAX_JUMP = 0.05


def marks_from_fills(fills: pa.Table, symbol: str, left_out: frozenset[str]) -> pa.Table:
    """Return the MARKS that FILLS of ``symbol`` give, without liquidations and the users ``left_out``."""
    fills = fills.filter(pc.and_not(pc.equal(fills["symbol"], symbol), _no_market(fills, left_out)))
    ts, first = np.unique(fills["ts"].to_numpy(), return_index=True)
    sizes, prices = fills["size"].to_numpy(), fills["price"].to_numpy()
    if ts.size:
        prices = np.add.reduceat(sizes * prices, first) / np.add.reduceat(sizes, first)
    keep = ~_lone_jumps(prices)
    return pa.table({"ts": ts[keep], "mark": prices[keep]}, MARKS)


def trim_bars(
    bars: pa.Table, bar_ns: int, fills: pa.Table, symbol: str, left_out: frozenset[str]
) -> pa.Table:
    """Return BARS without the highs and lows that a liquidation or a user ``left_out`` printed.

    Such an extreme gives way to the bar's open or close, whichever is further out: what else traded in
    the bar is not known, but as prints.
    """
    prints = fills.filter(pc.and_(pc.equal(fills["symbol"], symbol), _no_market(fills, left_out)))
    starts = bars["ts_open"].to_numpy()
    columns = {name: bars[name].to_numpy().copy() for name in bars.column_names}
    highest, lowest = (pick(columns["open"], columns["close"]) for pick in (np.maximum, np.minimum))
    for ts, price in zip(prints["ts"].to_pylist(), prints["price"].to_pylist(), strict=True):
        bar = int(np.searchsorted(starts, ts, side="right")) - 1
        if bar < 0 or ts >= starts[bar] + bar_ns:
            continue
        for extreme, known in (("high", highest), ("low", lowest)):
            if columns[extreme][bar] == price:
                columns[extreme][bar] = known[bar]
    return pa.table(columns, bars.schema)


def fill_between(prints: pa.Table, reference: pa.Table, stale_ns: int, *, scaled: bool) -> pa.Table:
    """Return ``prints`` with ``reference`` filled in where the last print is ``stale_ns`` old or older.

    Both are MARKS. A reference from another venue trades at another level: ``scaled`` makes it agree with
    the last print at that print's time, so that only its moves count. Before the first print it stands as
    it is. Uses the past only.
    """
    at, value = prints["ts"].to_numpy(), prints["mark"].to_numpy()
    ref_at, ref_value = reference["ts"].to_numpy(), reference["mark"].to_numpy()
    if not ref_at.size or not at.size:
        return reference if ref_at.size else prints
    # For each print the reference just known then; prints before the reference begins do not scale it.
    known = np.searchsorted(ref_at, at, side="right") - 1
    scale = np.where(scaled & (known >= 0), value / ref_value[np.maximum(known, 0)], 1.0)
    last = np.searchsorted(at, ref_at, side="right") - 1
    stale = (last < 0) | (ref_at - at[np.maximum(last, 0)] >= stale_ns)
    filled = ref_value * np.where(last >= 0, scale[np.maximum(last, 0)], 1.0)
    ts = np.concatenate([at, ref_at[stale]])
    marks = np.concatenate([value, filled[stale]])
    order = np.argsort(ts, kind="stable")
    return pa.table({"ts": ts[order], "mark": marks[order]}, MARKS)


def _no_market(fills: pa.Table, left_out: frozenset[str]) -> pa.ChunkedArray:
    return pc.or_(fills["liquidation"], pc.is_in(fills["user"], pa.array(sorted(left_out), pa.string())))


def _lone_jumps(prices: np.ndarray) -> np.ndarray:
    lone = np.zeros(prices.shape, dtype=bool)
    before, here, after = prices[:-2], prices[1:-1], prices[2:]
    agree = np.abs(after / before - 1) <= MAX_JUMP if prices.size > 2 else np.zeros(0, dtype=bool)
    lone[1:-1] = agree & (np.abs(here / before - 1) > MAX_JUMP) & (np.abs(here / after - 1) > MAX_JUMP)
    return lone
