"""Between NautilusTrader and the core: ticks and order events in, orders and cancels out.

One strategy per Hyperliquid account, because a strategy's positions are netted per instrument.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nautilus_trader.model import (
    ClientId,
    ClientOrderId,
    InstrumentId,
    OrderSide,
    Price,
    Quantity,
    StrategyId,
    TimeInForce,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from risk.errors import InvalidInput
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import HlAccount, SnapshotRequested, VenuePositionsReported
from risk.market import SymbolSpec
from strategies.driver import CoreDriver, next_multiple
from strategies.flow_inputs import order_input, wrong_order
from strategies.flow_types import USER_ORDER
from strategies.guard import FailureKeeper, guarded
from strategies.open_orders import OpenOrders

_TIMER = "core"
_SNAPSHOT = "snapshot"
_POSITIONS = "positions"


@dataclass(frozen=True, slots=True)
class AccountSetup:
    """Say how one account trades.

    ``client`` names its execution client, ``instruments`` its instrument per symbol. ``venue_delay_ns`` is a
    simulated venue's latency: its clock stands still between events, so it is woken when an order arrives.
    Every ``check_interval_ns`` the core is told what stands there; None: never.
    """

    strategy_id: str
    account: HlAccount
    client: str
    instruments: dict[str, InstrumentId]
    specs: dict[str, SymbolSpec]
    venue_delay_ns: int | None = None
    check_interval_ns: int | None = None


class AccountStrategy(Strategy):
    """Trade one account for the core: carry out its requests and report what the venue answers."""

    def __new__(cls, *_: Any) -> "AccountStrategy":
        """Make the native object, which takes its configuration in ``__init__``."""
        return super().__new__(cls)

    def __init__(self, setup: AccountSetup, driver: CoreDriver, failures: FailureKeeper) -> None:
        identity = StrategyId(setup.strategy_id)
        super().__init__(StrategyConfig(strategy_id=identity, log_events=False, log_commands=False))
        self.failures = failures
        self.driver = driver
        self.setup = setup
        self._client = ClientId(setup.client)
        self._symbols = {instrument: symbol for symbol, instrument in setup.instruments.items()}
        self._orders = OpenOrders(driver.command)
        self._wake_ns = 0
        driver.attach(setup.account, self)

    @guarded
    def on_start(self) -> None:
        """Begin to compare positions."""
        if self.setup.check_interval_ns is not None:
            self._next_check(self.setup.check_interval_ns)

    def _next_check(self, interval_ns: int) -> None:
        due = next_multiple(interval_ns, self.clock.timestamp_ns())
        self.clock.set_time_alert_ns(f"{_POSITIONS}:{self.setup.account}", due, self._on_check)

    @guarded
    def _on_check(self, _: Any) -> None:
        """Tell the core what the venue says stands on the account (rulebook §3)."""
        sizes = (
            (self._symbols[position.instrument_id], _signed_size(position))
            for position in self.cache.positions_open()
            if position.instrument_id in self._symbols
        )
        report = VenuePositionsReported(self.clock.timestamp_ns(), self.setup.account, tuple(sorted(sizes)))
        self.driver.command(report)
        self._next_check(self.setup.check_interval_ns or 0)

    def send(self, request: VenueOrderRequested) -> None:
        """Submit an order: immediate-or-cancel, or resting until cancelled."""
        spec = self.setup.specs[request.symbol]
        price = spec.limit_on_grid(request.limit_price, request.side)
        order = self.order_factory.limit(
            self.setup.instruments[request.symbol],
            OrderSide.BUY if request.side > 0 else OrderSide.SELL,
            Quantity.from_decimal_dp(request.size, spec.size_decimals),
            Price.from_decimal_dp(price, spec.price_decimals),
            TimeInForce.GTC if request.resting else TimeInForce.IOC,
            client_order_id=ClientOrderId(request.cloid),
        )
        self._orders.sent(request)
        self.submit_order(order, client_id=self._client)
        self._wake_venue()

    def cancel(self, request: VenueCancelRequested) -> None:
        """Ask the venue to cancel an order that is still live there."""
        if self._orders.is_live(request.cloid):
            self.cancel_order(ClientOrderId(request.cloid), client_id=self._client)
            self._wake_venue()

    def _wake_venue(self) -> None:
        delay = self.setup.venue_delay_ns
        if delay is None:
            return
        at = self.clock.timestamp_ns() + delay
        if at != self._wake_ns:
            self._wake_ns = at
            self.clock.set_time_alert_ns(f"venue:{at}", at, _do_nothing)

    @guarded
    def on_order_filled(self, event: Any) -> None:
        """Report a fill, and the end of the order when it was the last."""
        self._orders.filled(
            self.clock.timestamp_ns(),
            str(event.client_order_id),
            event.last_px.as_decimal(),
            event.last_qty.as_decimal(),
            event.commission.as_decimal(),
            maker=event.liquidity_side.name == "MAKER",
        )

    @guarded
    def on_order_canceled(self, event: Any) -> None:
        """Report that what was left of an order is gone."""
        self._orders.ended(self.clock.timestamp_ns(), str(event.client_order_id))

    @guarded
    def on_order_expired(self, event: Any) -> None:
        """Report that what was left of an order is gone."""
        self._orders.ended(self.clock.timestamp_ns(), str(event.client_order_id))

    @guarded
    def on_order_rejected(self, event: Any) -> None:
        """Report that the venue did not take an order."""
        self._refused(event)

    @guarded
    def on_order_denied(self, event: Any) -> None:
        """Report that Nautilus did not let an order out."""
        self._refused(event)

    def _refused(self, event: Any) -> None:
        ts, cloid = self.clock.timestamp_ns(), str(event.client_order_id)
        self._orders.ended(ts, cloid, refused=True, reason=str(event.reason))


class HybridRouter(AccountStrategy):
    """Bring the market and the users' orders to the core, and trade the trading account for it."""

    def __init__(
        self,
        setup: AccountSetup,
        driver: CoreDriver,
        failures: FailureKeeper,
        sample_interval_ns: int | None = None,
    ) -> None:
        super().__init__(setup, driver, failures)
        self._sample_interval_ns = sample_interval_ns

    @guarded
    def on_start(self) -> None:
        """Subscribe to everything the core decides on."""
        for instrument in self._symbols:
            self.subscribe_quotes(instrument)
            self.subscribe_mark_prices(instrument)
        self.subscribe_data(USER_ORDER)
        super().on_start()
        self.driver.start(self._arm)
        if self._sample_interval_ns is not None:
            self._next_sample(self.clock.timestamp_ns())

    @guarded
    def on_quote(self, quote: Any) -> None:
        """Take a best bid and ask."""
        self.driver.quote(
            self._symbols[quote.instrument_id],
            quote.ts_init,
            float(quote.bid_price),
            float(quote.ask_price),
            float(quote.bid_size),
            float(quote.ask_size),
        )

    @guarded
    def on_mark_price(self, mark: Any) -> None:
        """Take a mark."""
        self.driver.mark(self._symbols[mark.instrument_id], mark.ts_init, float(mark.value))

    @guarded
    def on_data(self, data: Any) -> None:
        """Take a user's order or cancel; one that can never be right ends the run, by its name."""
        order = data.data
        try:
            self.driver.command(order_input(order, self.clock.timestamp_ns()))
        except InvalidInput as error:
            raise wrong_order(order, error) from error

    def _arm(self, due_ns: int) -> None:
        self.clock.set_time_alert_ns(_TIMER, due_ns, self._on_timer)

    @guarded
    def _on_timer(self, _: Any) -> None:
        self.driver.timer(self.clock.timestamp_ns())

    def _next_sample(self, now_ns: int) -> None:
        due = next_multiple(self._sample_interval_ns or 0, now_ns)
        self.clock.set_time_alert_ns(_SNAPSHOT, due, self._on_sample)

    @guarded
    def _on_sample(self, _: Any) -> None:
        now = self.clock.timestamp_ns()
        self.driver.command(SnapshotRequested(now))
        self._next_sample(now)


class HedgeExecutor(AccountStrategy):
    """Trade the hedge account for the core."""


def _signed_size(position: Any) -> Decimal:
    size: Decimal = position.quantity.as_decimal()
    return -size if position.side.name == "SHORT" else size


def _do_nothing(_: Any) -> None:
    """Let time pass at the simulated venue."""
