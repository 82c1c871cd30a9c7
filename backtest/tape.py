"""A feed as columns in the order in which an engine would deliver it: made once, replayed with many settings."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from nautilus_trader.model import CustomData, QuoteTick

from backtest.feed import Feed, Tick
from backtest.played_world import ChannelChange, FundingSettlement
from backtest.tape_views import TapeViews
from data.flow import Flow, to_orders, to_transfers
from risk.inputs import CancelSubmitted, OrderSubmitted
from risk.market import SymbolSpec
from strategies.flow_inputs import order_input
from strategies.flow_types import UserOrder, UserTransfer
from venues.hyperliquid.instruments import instrument_id

MARKS = pa.schema([("ts", pa.int64()), ("symbol", pa.string()), ("mark", pa.float64())])
OTHER = -1  # the code of a row that is neither quote nor mark
PAUSE = -2  # the code of a slice of time without any data, at its start

Other = ChannelChange | FundingSettlement | UserTransfer | OrderSubmitted | CancelSubmitted
Quote = tuple[float, float, float, float]  # bid, ask, bid size, ask size
CHUNK_ROWS = 1 << 16  # taken as Python's own numbers at once: bounds memory
_Int = np.ndarray[Any, np.dtype[np.int64]]
_Float = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Hold consecutive rows of a tape as Python's own numbers; each quote and mark belongs to the next such row."""

    first_row: int
    ts: list[int]
    codes: list[int]
    quotes: list[Quote]
    marks: list[float]


@dataclass(frozen=True)
class Tape:
    """Hold everything a run is fed. It depends on the data, the users and the venue's fees, not on our settings.

    ``ts`` (UTC nanoseconds) and ``codes`` have a row each for all of it: 2·i for a quote of the i-th symbol,
    2·i + 1 for its mark, OTHER or PAUSE. ``quotes`` has the columns bid, ask, bid size, ask size of the quotes,
    ``marks`` the marks, both in the order of their rows. ``happenings`` are outages and funding, and
    ``others`` says what each OTHER row is: its place in ``happenings``, the transfers and the orders laid end
    to end. Times never go back; at one time the market comes first.
    """

    specs: Mapping[str, SymbolSpec]
    resolution_ns: Mapping[str, int]
    span: tuple[int, int]
    flow: Flow
    ts: _Int
    codes: np.ndarray[Any, np.dtype[np.int16]]
    quotes: _Float
    marks: _Float
    others: _Int
    happenings: list[ChannelChange | FundingSettlement]

    @classmethod
    def of(cls, feed: Feed) -> "Tape":
        """Read a whole feed."""
        reader = _Reader(feed)
        for start, end in feed.slices():
            reader.read(start, *feed.load(start, end))
        return cls(
            specs=dict(feed.specs),
            resolution_ns=dict(feed.resolution_ns),
            span=feed.span,
            flow=feed.flow.between(*feed.span),
            ts=np.concatenate(reader.ts),
            codes=np.concatenate(reader.codes),
            quotes=np.concatenate(reader.quotes),
            marks=np.concatenate(reader.marks),
            others=reader.numbered_others(),
            happenings=reader.happenings,
        )

    @property
    def ticks(self) -> int:
        """Return the number of quotes and marks."""
        return len(self.quotes) + len(self.marks)

    def marks_table(self) -> pa.Table:
        """Return the marks with their times and symbols, as a run records them."""
        rows = (self.codes >= 0) & (self.codes % 2 == 1)
        names = pa.array(list(self.specs), pa.string())
        symbols = names.take(pa.array(self.codes[rows] // 2))
        return pa.table([self.ts[rows], symbols, self.marks], schema=MARKS)

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield the whole tape, ``rows`` at a time."""
        quoted = marked = 0
        for first in range(0, len(self.ts), rows):
            codes = self.codes[first : first + rows]
            quotes = quoted + int(np.count_nonzero((codes >= 0) & (codes % 2 == 0)))
            marks = marked + int(np.count_nonzero((codes >= 0) & (codes % 2 == 1)))
            yield Chunk(
                first,
                self.ts[first : first + rows].tolist(),
                codes.tolist(),
                self.quotes[quoted:quotes].tolist(),
                self.marks[marked:marks].tolist(),
            )
            quoted, marked = quotes, marks

    @cached_property
    def quote_rows(self) -> _Int:
        """Return which rows are quotes."""
        return np.flatnonzero((self.codes >= 0) & (self.codes % 2 == 0))

    @cached_property
    def views(self) -> TapeViews:
        """Return the views of the market."""
        return TapeViews(list(self.specs.values()), self.ts, self.codes, self.quotes, self.marks)

    def quotes_at(self, ts: int) -> Iterator[tuple[str, Quote]]:
        """Yield the symbols and quotes of time ``ts``, in order."""
        symbols = list(self.specs)
        first, end = np.searchsorted(self.quote_rows, np.searchsorted(self.ts, (ts, ts + 1)))
        for number in range(int(first), int(end)):
            bid, ask, bid_size, ask_size = self.quotes[number].tolist()
            yield symbols[self.codes[self.quote_rows[number]] // 2], (bid, ask, bid_size, ask_size)

    def quote_before(self, symbol: str, ts: int) -> Quote | None:
        """Return a symbol's last quote before ``ts``."""
        code = 2 * list(self.specs).index(symbol)
        end = int(np.searchsorted(self.quote_rows, np.searchsorted(self.ts, ts)))
        found = np.flatnonzero(self.codes[self.quote_rows[:end]] == code)
        if not found.size:
            return None
        bid, ask, bid_size, ask_size = self.quotes[found[-1]].tolist()
        return bid, ask, bid_size, ask_size

    @cached_property
    def played(self) -> list[Other]:
        """Return what each OTHER row brings, in their order; orders are ready for the core."""
        transfers = list(to_transfers(self.flow.transfers))
        orders = [order_input(order, order.ts_init) for order in to_orders(self.flow.orders)]
        every: list[Other] = [*self.happenings, *transfers, *orders]
        return [every[place] for place in self.others.tolist()]

    def order_of(self, row: int) -> UserOrder:
        """Return the row of the flow behind the ``row``-th of ``played``."""
        before = len(self.happenings) + self.flow.transfers.num_rows
        (order,) = to_orders(self.flow.orders.slice(int(self.others[row]) - before, 1))
        return order

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what every process makes for itself, so that what is sent is columns."""
        return {name: value for name, value in self.__dict__.items() if name not in _OWN}


_OWN = ("played", "quote_rows", "views")


class _Reader:
    """Collect slices of a feed as columns."""

    def __init__(self, feed: Feed) -> None:
        self._codes = {instrument_id(symbol): 2 * i for i, symbol in enumerate(feed.specs)}
        self.ts: list[_Int] = []
        self.codes: list[np.ndarray[Any, np.dtype[np.int16]]] = []
        self.quotes: list[_Float] = []
        self.marks: list[_Float] = []
        self.happenings: list[ChannelChange | FundingSettlement] = []
        self._others: list[tuple[type, int]] = []
        self._counts = {UserTransfer: 0, UserOrder: 0}

    def read(self, start_ns: int, market: list[Tick], others: list[CustomData]) -> None:
        """Take a slice that begins at ``start_ns``; each part is sorted by time, the market before the rest."""
        rows = sorted((data.data for data in others), key=lambda row: row.ts_init)
        ts = [tick.ts_init for tick in market] + [row.ts_init for row in rows]
        codes = [self._codes[t.instrument_id] + (not isinstance(t, QuoteTick)) for t in market]
        codes += [OTHER] * len(rows)
        if not ts:
            ts, codes = [start_ns], [PAUSE]
        times = np.array(ts, dtype=np.int64)
        order = np.argsort(times, kind="stable")
        self.ts.append(times[order])
        self.codes.append(np.array(codes, dtype=np.int16)[order])
        in_order = [market[place] for place in order.tolist() if place < len(market)]
        quotes = [_sides(tick) for tick in in_order if isinstance(tick, QuoteTick)]
        marks = [float(tick.value) for tick in in_order if not isinstance(tick, QuoteTick)]
        self.quotes.append(np.array(quotes, dtype=np.float64).reshape(-1, 4))
        self.marks.append(np.array(marks, dtype=np.float64))
        self._others += self._numbered(rows)

    def _numbered(self, rows: Iterable[Any]) -> Iterator[tuple[type, int]]:
        for row in rows:
            kind = type(row)
            if kind in self._counts:
                yield kind, self._counts[kind]
                self._counts[kind] += 1
            else:
                yield kind, len(self.happenings)
                self.happenings.append(row)

    def numbered_others(self) -> _Int:
        """Return each other row's place among happenings, transfers and orders laid end to end."""
        before = {
            UserTransfer: len(self.happenings),
            UserOrder: len(self.happenings) + self._counts[UserTransfer],
        }
        return np.array([before.get(kind, 0) + number for kind, number in self._others], dtype=np.int64)


def _sides(quote: QuoteTick) -> tuple[float, float, float, float]:
    return float(quote.bid_price), float(quote.ask_price), float(quote.bid_size), float(quote.ask_size)
