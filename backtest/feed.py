"""Everything a run is fed: a scenario's market, order flow, funding and outages, in slices of time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import pyarrow as pa
from nautilus_trader.model import CustomData, MarkPriceUpdate, QuoteTick

from backtest.exchange import CHANNEL_CHANGE, FUNDING_SETTLEMENT
from backtest.played_world import ChannelChange, FundingSettlement
from data.flow import Flow, to_orders, to_transfers
from risk.market import SymbolSpec
from strategies.flow_types import wrap_orders, wrap_transfers

SLICE_ROWS = 1_500_000  # of market data loaded at once: bounds memory

Tick = QuoteTick | MarkPriceUpdate
LoadTicks = Callable[[int, int], list[Tick]]


@dataclass(frozen=True, slots=True)
class Feed:
    """Hold the inputs of one run; ``span`` is [start, end) in nanoseconds, lead and tail included.

    ``funding`` has (time, rate, oracle) rows per symbol, an unknown oracle as None; ``rows`` is the number of
    quotes and marks in all the data.
    """

    specs: Mapping[str, SymbolSpec]
    resolution_ns: Mapping[str, int]
    span: tuple[int, int]
    rows: int
    flow: Flow
    funding: Mapping[str, list[tuple[int, Decimal, Decimal | None]]]
    outages: tuple[tuple[int, int], ...]
    round_trip_ns: int
    input_hashes: Mapping[str, str]
    accounting: pa.Table | None
    liquidations: pa.Table | None
    load_ticks: LoadTicks

    @property
    def without_funding(self) -> list[str]:
        """Return the symbols that run without funding data, sorted."""
        return sorted(set(self.specs) - set(self.funding))

    def slices(self, rows: int = SLICE_ROWS) -> Iterator[tuple[int, int]]:
        """Cut the span into equal parts that hold about ``rows`` quotes and marks each."""
        start, end = self.span
        parts = -(-self.rows // rows)
        edges = [start + (end - start) * part // parts for part in range(parts + 1)]
        yield from pairwise(edges)

    def load(self, start_ns: int, end_ns: int) -> tuple[list[Tick], list[CustomData]]:
        """Return the ticks and the rest with start_ns ≤ ts < end_ns.

        At equal times market comes first, then outages, funding, transfers and orders: add them in that order.
        """
        ticks = self.load_ticks(start_ns, end_ns)
        for begin, end in self.outages:
            if begin < end_ns and start_ns < end:
                ticks = [tick for tick in ticks if not begin <= tick.ts_init < end]
        flow = self.flow.between(start_ns, end_ns)
        others = [
            *self._channel(start_ns, end_ns),
            *self._settlements(start_ns, end_ns),
            *wrap_transfers(to_transfers(flow.transfers)),
            *wrap_orders(to_orders(flow.orders)),
        ]
        return ticks, others

    def _channel(self, start_ns: int, end_ns: int) -> Iterator[CustomData]:
        changes = [
            (ts, connected) for begin, end in self.outages for ts, connected in ((begin, False), (end, True))
        ]
        for ts, connected in [(self.span[0], True), *changes]:
            if start_ns <= ts < end_ns:
                change = ChannelChange(ts, ts, connected, self.round_trip_ns)
                yield CustomData(CHANNEL_CHANGE, change)

    def _settlements(self, start_ns: int, end_ns: int) -> Iterator[CustomData]:
        for symbol, rows in sorted(self.funding.items()):
            for ts, rate, oracle in rows:
                if start_ns <= ts < end_ns:
                    yield CustomData(FUNDING_SETTLEMENT, FundingSettlement(ts, ts, symbol, rate, oracle))
