"""What we rely on in NautilusTrader 2.0.0rc7; to be run before moving to another version."""

from decimal import Decimal

import pytest
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel, StaticLatencyModel
from nautilus_trader.model import (
    AccountType,
    ClientId,
    ClientOrderId,
    Currency,
    MarkPriceUpdate,
    Money,
    OmsType,
    OrderSide,
    Price,
    Quantity,
    QuoteTick,
    StrategyId,
    TimeInForce,
    Venue,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from risk.settings import SECOND_NS
from strategies.flow_types import USER_TRANSFER, UserTransfer, wrap_transfers
from strategies.guard import FailureKeeper, guarded
from venues.hyperliquid.instruments import TRADING_VENUE, instrument_id, perpetual
from venues.hyperliquid.specs import bundled_specs

BTC = instrument_id("BTC")
LATENCY_NS = SECOND_NS // 5


def quote(seconds: float, bid: float = 100_000.0) -> QuoteTick:
    ts = int(seconds * SECOND_NS)
    size = Quantity(1.0, 5)
    return QuoteTick(BTC, Price(bid, 1), Price(bid + 1.0, 1), size, size, ts, ts)


class Probe(Strategy):
    """Note what arrives and when; act on the first quote."""

    def __new__(cls, *_):
        return super().__new__(cls)

    def __init__(self, act=lambda probe: None):
        super().__init__(StrategyConfig(strategy_id=StrategyId("PROBE-001")))
        self.failures = FailureKeeper()
        self.seen = []
        self._act = act

    def note(self, what):
        self.seen.append((self.clock.timestamp_ns() / SECOND_NS, what))

    def on_start(self):
        self.subscribe_quotes(BTC)
        self.subscribe_mark_prices(BTC)
        self.subscribe_data(USER_TRANSFER)

    def on_quote(self, _):
        self.note("quote")
        if [what for _, what in self.seen].count("quote") == 1:
            self._act(self)

    def on_mark_price(self, _):
        self.note("mark")

    def on_data(self, data):
        self.note(data.data.user)

    def on_order_filled(self, event):
        self.note(("filled", str(event.last_px), str(event.last_qty)))

    def on_order_canceled(self, event):
        self.note("cancelled")

    def on_order_denied(self, event):
        self.note("denied")

    def buy(self, price: str, size: float = 0.5, tif=TimeInForce.IOC, name="order:1~7"):
        order = self.order_factory.limit(
            BTC,
            OrderSide.BUY,
            Quantity(size, 5),
            Price.from_str(price),
            tif,
            client_order_id=ClientOrderId(name),
        )
        self.submit_order(order, client_id=ClientId(TRADING_VENUE))


def run(probe, *slices):
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggerConfig(stdout_level=LogLevel.OFF), run_analysis=False)
    )
    usdc = Currency.from_str("USDC")
    engine.add_venue(
        Venue(TRADING_VENUE),
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(1e9, usdc)],
        base_currency=usdc,
        default_leverage=Decimal(50),
        fee_model=MakerTakerFeeModel(Decimal("0.00015"), Decimal("0.00045")),
        latency_model=StaticLatencyModel(LATENCY_NS),
    )
    engine.add_instrument(perpetual(bundled_specs()["BTC"]))
    engine.add_strategy(probe)
    try:
        for data in slices:
            for part in data:
                client = None if isinstance(part[0], QuoteTick | MarkPriceUpdate) else ClientId("FLOW")
                engine.add_data(part, client_id=client, sort=False)
            engine.sort_data()
            engine.run(streaming=True)
            engine.clear_data()
        engine.end()
    finally:
        engine.dispose()
    return probe.seen


QUOTES = [quote(1), quote(1.1, 100_002.0), quote(10)]


class Failing(Probe):
    def on_quote(self, _):
        self.note("quote")
        raise RuntimeError("broken on purpose")


class GuardedFailing(Failing):
    @guarded
    def on_quote(self, quote):
        super().on_quote(quote)


def test_an_exception_in_a_callback_is_swallowed_and_the_run_goes_on():
    probe = Failing()
    assert len(run(probe, [QUOTES])) == 3


def test_the_guard_keeps_the_first_exception_and_stops_the_run():
    probe = GuardedFailing()
    assert len(run(probe, [QUOTES])) == 1
    with pytest.raises(RuntimeError, match="broken on purpose"):
        probe.failures.reraise()


class Exiting(Probe):
    @guarded
    def on_quote(self, _):
        raise SystemExit(3)


def test_even_an_exit_in_a_callback_is_kept():
    probe = Exiting()
    run(probe, [QUOTES])
    with pytest.raises(SystemExit):
        probe.failures.reraise()


def test_at_one_time_data_arrive_in_the_order_they_were_added():
    mark = MarkPriceUpdate(BTC, Price(100_000.0, 1), SECOND_NS, SECOND_NS)
    transfers = wrap_transfers(
        UserTransfer(SECOND_NS, SECOND_NS, user, Decimal(1), "DEPOSIT") for user in "ab"
    )
    seen = run(Probe(), [[quote(1)], [mark], transfers])
    assert [what for _, what in seen] == ["quote", "mark", "a", "b"]


def test_without_a_timer_the_venue_takes_an_order_only_when_the_next_data_come():
    seen = run(Probe(lambda probe: probe.buy("100010.0")), [[quote(1), quote(10, 100_005.0)]])
    assert (10.0, ("filled", "100006.0", "0.50000")) in seen


def test_a_timer_at_its_arrival_lets_the_venue_take_an_order_on_the_market_of_that_time():
    def act(probe):
        probe.buy("100010.0")
        probe.clock.set_time_alert_ns("venue", SECOND_NS + LATENCY_NS, lambda _: None)

    seen = run(Probe(act), [QUOTES])
    assert (1.2, ("filled", "100003.0", "0.50000")) in seen


def test_an_immediate_or_cancel_order_beyond_its_limit_is_cancelled():
    seen = run(Probe(lambda probe: probe.buy("99999.0")), [QUOTES])
    assert [what for _, what in seen if what == "cancelled"] == ["cancelled"]


def test_a_resting_order_fills_at_its_limit_when_the_ask_comes_down_to_it():
    probe = Probe(lambda probe: probe.buy("99000.0", tif=TimeInForce.GTC))
    seen = run(probe, [[quote(1), quote(2), quote(10, 98_000.0)]])
    assert seen[-2:] == [(10.0, ("filled", "99000.0", "0.50000")), (10.0, "quote")]


def test_an_order_above_the_free_balance_is_denied_before_submit_returns_to_the_loop():
    probe = Probe(lambda probe: probe.buy("100010.0", size=5e7))
    assert (1.0, "denied") in run(probe, [QUOTES])


def test_an_alert_set_again_replaces_the_first_and_survives_slices():
    def act(probe):
        probe.clock.set_time_alert_ns("core", 3 * SECOND_NS, lambda _: probe.note("late"))
        probe.clock.set_time_alert_ns("core", 2 * SECOND_NS, lambda _: probe.note("early"))

    seen = run(Probe(act), [[quote(1)]], [[quote(10)]])
    assert [what for _, what in seen] == ["quote", "early", "quote"]
