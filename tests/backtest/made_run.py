"""A small run made without an engine: seeded prices and orders through the real ``Book``, venue answers included."""

import random
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa

from backtest.recorder import DECIMAL, Recorder
from backtest.results import RunFacts
from backtest.scenario import Scenario, parse_scenario
from risk.book import Book
from risk.events import OrderFilled
from risk.house_events import VenueOrderRequested
from risk.inputs import (
    ChannelReported,
    DepositCredited,
    FundingPublished,
    Input,
    MarginMode,
    MarketUpdated,
    OrderSubmitted,
    SnapshotRequested,
    TimerFired,
    VenueFilled,
    VenueOrderEnded,
)
from risk.margin import MarginTiers
from risk.market import SymbolSpec, SymbolView
from risk.settings import DAY_NS, SECOND_NS

START_NS = 20_000 * DAY_NS
STEP_NS = 30 * SECOND_NS
STEPS = 1_200
SPECS = {
    "BTC": SymbolSpec("BTC", 5, 1, MarginTiers.of([(0, 40)])),
    "ETH": SymbolSpec("ETH", 4, 2, MarginTiers.of([(0, 25)])),
}
D = Decimal


@dataclass
class MadeRun:
    """What an engine would hand over at the end of a run."""

    scenario: Scenario
    tables: dict[str, pa.Table]
    facts: RunFacts
    book: Book


class _Desk:
    def __init__(self, scenario: Scenario) -> None:
        self.recorder = Recorder()
        self.book = Book(SPECS, scenario.settings(), opened_ns=START_NS)
        self.recorder.record(self.book.opening_events)
        self.marks = {"BTC": D(100_000), "ETH": D(4_000)}
        self.path: list[tuple[int, str, Decimal]] = []
        self.fills: list[OrderFilled] = []

    def handle(self, given: Input) -> None:
        events = self.book.handle(given)
        self.recorder.record(events)
        for event in events:
            if isinstance(event, OrderFilled):
                self.fills.append(event)
            if isinstance(event, VenueOrderRequested) and not event.resting:
                price = _round(event.symbol, self.marks[event.symbol] * (1 + event.side * D("0.0003")))
                fee = (price * event.size * D("0.00045")).quantize(D("0.000001"))
                self.handle(VenueFilled(given.ts, event.cloid, price, event.size, fee))
                self.handle(VenueOrderEnded(given.ts, event.cloid))

    def move(self, ts: int, seq: int, rng: random.Random, shock: float) -> None:
        views = []
        for symbol, before in self.marks.items():
            mark = _round(symbol, before * D(str(round(1 + rng.gauss(shock, 0.0012), 6))))
            self.marks[symbol] = mark
            self.path.append((ts, symbol, mark))
            best = ((mark, D(10**6)),)
            views.append(SymbolView(symbol, ts, mark, before, mark, mark, mark, ts, best, best, seq))
        self.handle(MarketUpdated(ts, tuple(views)))


def _round(symbol: str, price: Decimal) -> Decimal:
    return round(price, 0 if symbol == "BTC" else 1)


@cache
def made_run(name: str = "made", *overrides: tuple[str, Any]) -> MadeRun:
    """Run a crash with 40 users, most of them long and highly leveraged, some trading through Hyperliquid."""
    tiers = [{"lower": 10_000, "ratio": D("0.5")}, {"lower": 60_000, "ratio": D("0.8")}]
    risk = {"hedge_tiers": tiers, "reserve_normal": 500_200, "daily_loss_alert": 100}
    risk |= dict(overrides)
    row = {"auto_switch_enabled": True, "hl_mode_exposure_threshold": 250_000}
    scenario = parse_scenario({"name": name, "routing": {"*": row}, "risk": risk, "seed": 7})
    rng = random.Random(scenario.seed)
    desk = _Desk(scenario)
    desk.handle(SnapshotRequested(START_NS))
    desk.handle(ChannelReported(START_NS, True, 50_000_000))
    for i in range(40):
        desk.handle(DepositCredited(START_NS, f"u{i:02d}", D(3_000 + 400 * i), f"d{i}"))
    for step in range(1, STEPS):
        ts = START_NS + step * STEP_NS
        desk.move(ts, step, rng, -0.012 if 700 <= step < 712 else 0.0)
        desk.handle(TimerFired(ts))
        if step % 2:
            desk.handle(_order(step, ts, rng, desk.marks))
        if step % 120 == 0:
            for symbol, mark in desk.marks.items():
                desk.handle(FundingPublished(ts, symbol, D("0.0001"), mark))
        if step % 10 == 0:
            desk.handle(SnapshotRequested(ts))
    for _ in range(2):  # the hedger may act on the first
        desk.handle(SnapshotRequested(START_NS + STEPS * STEP_NS))
    ts, symbols, marks = zip(*desk.path, strict=True)
    table = pa.table({"ts": ts, "symbol": symbols, "mark": pa.array(marks, DECIMAL)})
    desk.recorder.add_table("marks", table)
    facts = RunFacts(
        book_digest=desk.book.digest(),
        span_ns=(START_NS, START_NS + STEPS * STEP_NS),
        resolution_ns=dict.fromkeys(SPECS, STEP_NS),
        inputs={"made": "0" * 64},
        symbols_without_funding=("ETH",),
        source_fills={"TAKER_ORDER": 3, "LIQUIDATION": 1},
    )
    return MadeRun(scenario, desk.recorder.tables(), facts, desk.book)


def _order(step: int, ts: int, rng: random.Random, marks: dict[str, Decimal]) -> OrderSubmitted:
    user, symbol = f"u{rng.randrange(40):02d}", rng.choice(sorted(marks))
    side = 1 if rng.random() < 0.7 else -1
    notional = rng.choice((400, 2_000, 9_000, 9_000, 20_000, 60_000))
    size = round(D(notional) / marks[symbol], SPECS[symbol].size_decimals)
    mode = MarginMode.ISOLATED if rng.random() < 0.6 else MarginMode.CROSS
    leverage, netted = rng.choice((5, 10, 20, 25)), rng.random() < 0.5
    return OrderSubmitted(
        ts, f"o{step}", user, symbol, side, size, leverage=leverage, margin_mode=mode, netted=netted
    )
