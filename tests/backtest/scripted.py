"""Scripts in the core's place: ask for orders, cancels and alerts at given moments, and note what comes back."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from backtest import engine, replay
from backtest.feed import Feed
from backtest.replay_watch import ReplayWatch
from backtest.scenario import load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.tape import Tape
from data.catalog import to_mark_updates, to_quote_ticks
from data.flow import FLOW_ORDERS, FLOW_TRANSFERS, Flow
from data.frames import MARKS, QUOTES
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import HlAccount, VenueFilled
from risk.settings import DAY_NS, SECOND_NS
from risk.watch import Bands
from venues.hyperliquid.specs import bundled_specs

D = Decimal
START = 20_000 * DAY_NS
SPECS = {symbol: bundled_specs()[symbol] for symbol in ("BTC", "ETH")}
Tick = tuple[float, str, float, float, float]  # second, symbol, bid, ask, size of both; a mark where ask is 0


@dataclass
class Order:
    """Ask for one order; positive sizes buy."""

    size: str
    limit: str
    rests: bool = False
    symbol: str = "BTC"
    account: HlAccount = HlAccount.TRADING


@dataclass
class Cancel:
    """Ask to cancel the order of that number."""

    number: int


@dataclass
class Alert:
    """Ask for the core's alert that many seconds later."""

    after: float


@dataclass
class Script:
    """Say what is asked at the n-th tick, the n-th fill and the n-th alert, counted from 1."""

    at_tick: dict[int, list[Order | Cancel | Alert]] = field(default_factory=dict)
    at_fill: dict[int, list[Order | Cancel | Alert]] = field(default_factory=dict)
    at_alert: dict[int, list[Order | Cancel | Alert]] = field(default_factory=dict)


class ScriptedDriver:
    """Stand in the core's place: note whatever arrives, ask for what the script says."""

    def __init__(self, script: Script, log: list[Any], book: Any) -> None:
        self.book = book
        self.log = log
        self._script = script
        self._ports: dict[HlAccount, Any] = {}
        self._sent: list[VenueOrderRequested] = []
        self._cancelled: set[int] = set()
        self._counts = {"tick": 0, "fill": 0, "alert": 0}

    def attach(self, account: HlAccount, port: Any) -> None:
        self._ports[account] = port

    def start(self, arm: Callable[[int], None]) -> None:
        self._arm = arm

    def quote(self, symbol: str, ts: int, *sides: float) -> None:
        self.log.append(("quote", symbol, ts, *sides))
        self._ask("tick", ts)

    def mark(self, symbol: str, ts: int, mark: float) -> None:
        self.log.append(("mark", symbol, ts, mark))
        self._ask("tick", ts)

    def timer(self, ts: int) -> None:
        self.log.append(("alert", ts))
        self._ask("alert", ts)

    def command(self, given: Any) -> tuple[()]:
        self.log.append(given)
        if isinstance(given, VenueFilled):
            self._ask("fill", given.ts)
        return ()

    def _ask(self, kind: str, ts: int) -> None:
        self._counts[kind] += 1
        for asked in getattr(self._script, f"at_{kind}").get(self._counts[kind], []):
            if isinstance(asked, Alert):
                self._arm(ts + int(asked.after * SECOND_NS))
            elif isinstance(asked, Order):
                self._send(asked, ts)
            elif asked.number < len(self._sent) and asked.number not in self._cancelled:
                self._cancelled.add(asked.number)  # the core, too, asks but once
                sent = self._sent[asked.number]
                cancel = VenueCancelRequested(sent.cloid, ts, sent.account, sent.symbol)
                self._ports[sent.account].cancel(cancel)

    def _send(self, order: Order, ts: int) -> None:
        size, limit = D(order.size), D(order.limit)
        request = VenueOrderRequested(
            cloid=f"o{len(self._sent)}",
            ts=ts,
            account=order.account,
            symbol=order.symbol,
            side=1 if size > 0 else -1,
            size=abs(size),
            limit_price=limit,
            resting=order.rests,
            order_id="",
            mark=limit,
        )
        self._sent.append(request)
        self._ports[order.account].send(request)


class ReplayedDriver(ScriptedDriver):
    """Hear of every tick of a replay, none of which is quiet."""

    stale_bands: frozenset[str] = frozenset()

    def __init__(self, script: Script, log: list[Any], book: Any, watch: ReplayWatch, tape: Tape) -> None:
        super().__init__(script, log, book)
        self._watch = watch
        self._tape = tape
        for symbol in SPECS:
            watch.set_bands(symbol, Bands(mark_low=math.inf, ask_low=math.inf))

    def market(self, ts: int) -> None:
        ((symbol, row),) = self._watch.seen.items()
        self._watch.seen.clear()
        if self._tape.codes[row] % 2:
            number = int(np.searchsorted(self._tape.views.mark_rows, row))
            self.mark(symbol, ts, float(self._tape.marks[number]))
        else:
            number = int(np.searchsorted(self._tape.quote_rows, row))
            self.quote(symbol, ts, *self._tape.quotes[number].tolist())


def make_feed(ticks: list[Tick]) -> Feed:
    """Make a feed of a few ticks; at one time they come symbol by symbol, quotes before marks."""

    def load(start_ns: int, end_ns: int) -> list[Any]:
        found: list[Any] = []
        for symbol, spec in SPECS.items():
            rows = [(START + int(s * SECOND_NS), *rest) for s, name, *rest in ticks if name == symbol]
            rows = [row for row in rows if start_ns <= row[0] < end_ns]
            quotes = [(ts, bid, ask, size, size) for ts, bid, ask, size in rows if ask]
            marks = [(ts, mark) for ts, mark, ask, _ in rows if not ask]
            found += to_quote_ticks(_table(quotes, QUOTES), spec)
            found += to_mark_updates(_table(marks, MARKS), spec)
        return found

    return Feed(
        specs=SPECS,
        resolution_ns=dict.fromkeys(SPECS, SECOND_NS),
        span=(START, START + 60 * SECOND_NS),
        rows=len(ticks),
        flow=Flow(FLOW_ORDERS.empty_table(), FLOW_TRANSFERS.empty_table()),
        funding={},
        outages=(),
        round_trip_ns=0,
        input_hashes={},
        accounting=None,
        liquidations=None,
        load_ticks=load,
    )


def _table(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pa.table([pa.array(column) for column in columns], schema=schema)


def logs(script: Script, ticks: list[Tick], *overrides: str) -> tuple[list[Any], list[Any]]:
    """Return what the core is told in a NautilusTrader engine and in a replay."""
    more = ["report.sample_interval=7s", *overrides]
    scenario = apply_overrides(load_scenario("synthetic-calm"), more)
    feed = make_feed(ticks)
    tape = Tape.of(feed)
    in_engine: list[Any] = []
    in_replay: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "CoreDriver", lambda book, _, __: ScriptedDriver(script, in_engine, book))
        patch.setattr(
            replay, "CoreDriver", lambda book, watch, _: ReplayedDriver(script, in_replay, book, watch, tape)
        )
        engine.run_engine(scenario, feed)
        replay.run_replay(scenario, tape)
    return in_engine, in_replay
