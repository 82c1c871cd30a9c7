"""One run: a feed through one NautilusTrader engine, two simulated Hyperliquid accounts, and the core."""

import gc
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import numpy as np
import pyarrow as pa
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.model import (
    AccountType,
    ClientId,
    Currency,
    MarkPriceUpdate,
    Money,
    OmsType,
    QuoteTick,
    TraderId,
    Venue,
)
from nautilus_trader.risk import RiskEngineConfig

from backtest.exchange import SimulatedExchange
from backtest.feed import Feed, Tick
from backtest.recorder import Recorder
from backtest.scenario import Scenario
from backtest.tape import MARKS
from risk.book import Book
from risk.events import Event
from risk.inputs import HlAccount, SnapshotRequested
from risk.settings import SECOND_NS, Settings
from risk.watch import MarketWatch
from strategies.adapter import AccountSetup, HedgeExecutor, HybridRouter
from strategies.driver import CoreDriver
from strategies.guard import FailureKeeper
from venues.hyperliquid.instruments import HEDGE_VENUE, TRADING_VENUE, instrument_id, perpetual, symbol_of
from venues.hyperliquid.simulation import Slippage, TakerSlippage, fee_model, latency_model

FLOW_CLIENT = "FLOW"
VENUE_BALANCE = 1e12  # USDC: the core keeps the margin of both accounts, Nautilus must never refuse
MARK_INTERVAL_NS = 3 * SECOND_NS  # at which Hyperliquid's marks move, and the sanity limit is meant
MAX_SANITY_LIMIT = Decimal("0.5")
SILENCE_RESOLUTIONS = 2


@dataclass(frozen=True, slots=True)
class Run:
    """Hold what one run left behind: the recorded events, the book at the end, and the number of ticks."""

    recorder: Recorder
    book: Book
    ticks: int


def run_engine(
    scenario: Scenario,
    feed: Feed,
    progress: Callable[[float], None] = lambda _: None,
    observe: Callable[[tuple[Event, ...]], None] = lambda _: None,
) -> Run:
    """Run ``scenario`` over ``feed``; ``progress`` is told the share of the time done, ``observe`` all events.

    Raises whatever went wrong inside a callback, such as InvalidInput for a row of the flow, or what ``observe``
    raised to end the run.
    """
    settings = resolved_settings(scenario.settings(), feed)
    recorder = Recorder()
    failures = FailureKeeper()
    book = Book(dict(feed.specs), settings, opened_ns=feed.span[0])
    marks = _Marks(feed.specs)
    ticks = 0

    def sink(events: tuple[Event, ...]) -> None:
        recorder.record(events)
        exchange.watch(events)
        observe(events)

    watch = MarketWatch(feed.specs, settings)
    driver = CoreDriver(book, watch, sink)
    exchange = SimulatedExchange(driver, failures, scenario.venue.operator_response)
    engine = _engine(scenario, feed)
    engine.add_actor(exchange)
    for strategy in _strategies(scenario, feed, driver, failures):
        engine.add_strategy(strategy)
    try:
        with patient_collector():
            for start, end in feed.slices():
                market, others = feed.load(start, end)
                marks.add(market)
                ticks += len(market)
                _add(engine, market, others, mirrored=settings.risk.hedging_enabled)
                engine.run(start=start, end=end - 1, streaming=True)
                failures.reraise()
                engine.clear_data()
                progress((end - feed.span[0]) / (feed.span[1] - feed.span[0]))
            engine.end()
            failures.reraise()
    finally:
        engine.dispose()
    recorder.record(last_snapshot(book, watch, feed.span[1]))
    recorder.add_table("marks", marks.table())
    return Run(recorder, book, ticks)


def last_snapshot(book: Book, watch: MarketWatch, end_ns: int) -> tuple[Event, ...]:
    """Take the house's state at the end of a run.

    Past the driver: the venues are closed, and what the book might still ask of them comes too late.
    """
    last = watch.flush(end_ns)
    return book.handle(SnapshotRequested(end_ns), last.views if last else ())


class _Resolved(Protocol):
    @property
    def resolution_ns(self) -> Mapping[str, int]: ...


def resolved_settings(settings: Settings, data: _Resolved) -> Settings:
    """Return ``settings`` with the limits that depend on the resolution of ``data`` (rulebook §1, §6).

    Silence: twice the resolution. Price sanity: the limit is meant for marks every three seconds; prices
    spread with the square root of time, so it grows with that, up to a half.
    """
    limit = settings.risk.price_sanity_limit
    silence = {symbol: SILENCE_RESOLUTIONS * ns for symbol, ns in data.resolution_ns.items()}
    sanity = {
        symbol: max(
            limit, min(MAX_SANITY_LIMIT, limit * Decimal(str(round(math.sqrt(ns / MARK_INTERVAL_NS), 6))))
        )
        for symbol, ns in data.resolution_ns.items()
    }
    return Settings(settings.routing, settings.risk, silence, sanity)


def _engine(scenario: Scenario, feed: Feed) -> BacktestEngine:
    """Make an engine with our two accounts as two venues of the same instruments."""
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("BACKTEST-001"),
            logging=LoggerConfig(stdout_level=LogLevel.ERROR),
            run_analysis=False,
            risk_engine=RiskEngineConfig(bypass=True),
        )
    )
    usdc = Currency.from_str("USDC")
    slippage = Slippage(scenario.venue.slippage_bps, scenario.venue.depth_usd)
    for venue in (TRADING_VENUE, HEDGE_VENUE):
        specs = {instrument_id(symbol, venue): spec for symbol, spec in feed.specs.items()}
        engine.add_venue(
            Venue(venue),
            OmsType.NETTING,
            AccountType.MARGIN,
            [Money(VENUE_BALANCE, usdc)],
            base_currency=usdc,
            default_leverage=Decimal(scenario.venue.account_leverage),
            fill_model=TakerSlippage(slippage, specs),
            fee_model=fee_model(specs),
            latency_model=latency_model(scenario.venue.order_latency),
        )
        for spec in specs.values():
            engine.add_instrument(perpetual(spec, venue))
    return engine


def _strategies(
    scenario: Scenario, feed: Feed, driver: CoreDriver, failures: FailureKeeper
) -> Iterator[HybridRouter | HedgeExecutor]:
    def setup(name: str, account: HlAccount, venue: str) -> AccountSetup:
        instruments = {symbol: instrument_id(symbol, venue) for symbol in feed.specs}
        return AccountSetup(
            name,
            account,
            venue,
            instruments,
            dict(feed.specs),
            scenario.venue.order_latency,
            scenario.report.sample_interval,
        )

    trading = setup("ROUTER-001", HlAccount.TRADING, TRADING_VENUE)
    yield HybridRouter(trading, driver, failures, scenario.report.sample_interval)
    yield HedgeExecutor(setup("HEDGE-002", HlAccount.HEDGE, HEDGE_VENUE), driver, failures)


def _add(engine: BacktestEngine, market: list[Tick], others: list, *, mirrored: bool) -> None:
    """Add a slice so that at one time the market comes first, on both venues, then the rest."""
    if market:
        engine.add_data(market, sort=False)
        if mirrored and (quotes := _mirrored(market)):
            engine.add_data(quotes, sort=False)
    if others:
        engine.add_data(others, client_id=ClientId(FLOW_CLIENT), sort=False)
    engine.sort_data()


def _mirrored(market: list[Tick]) -> list[QuoteTick]:
    """Return the quotes once more, for the same coins on the hedge account's venue."""
    instruments = {tick.instrument_id for tick in market}
    mirror = {instrument: instrument_id(symbol_of(instrument), HEDGE_VENUE) for instrument in instruments}
    return [
        QuoteTick(
            mirror[tick.instrument_id],
            tick.bid_price,
            tick.ask_price,
            tick.bid_size,
            tick.ask_size,
            tick.ts_event,
            tick.ts_init,
        )
        for tick in market
        if isinstance(tick, QuoteTick)
    ]


class _Marks:
    """Collect the marks of all slices as one compact table."""

    def __init__(self, symbols: Collection[str]) -> None:
        self._symbols = pa.array(symbols, pa.string())
        self._numbers = {instrument_id(symbol): number for number, symbol in enumerate(symbols)}
        self._parts: list[pa.Table] = []

    def add(self, market: list[Tick]) -> None:
        marks = [tick for tick in market if isinstance(tick, MarkPriceUpdate)]
        ts = np.array([mark.ts_init for mark in marks], dtype=np.int64)
        values = np.array([float(mark.value) for mark in marks])
        numbers = np.array([self._numbers[mark.instrument_id] for mark in marks], dtype=np.int64)
        order = np.argsort(ts, kind="stable")
        symbols = self._symbols.take(pa.array(numbers[order]))
        self._parts.append(pa.table([ts[order], symbols, values[order]], schema=MARKS))

    def table(self) -> pa.Table:
        return pa.concat_tables(self._parts)


@contextmanager
def patient_collector() -> Iterator[None]:
    """Keep the garbage collector out of a run, whose objects go by reference count: it makes next to no cycles.

    One inside another ends with the outer.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
