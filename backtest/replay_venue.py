"""One of our Hyperliquid accounts in a replay: it fills, rests and cancels as NautilusTrader's venue does.

What NautilusTrader 2.0.0rc7 does with the orders we send, found by trying and held by ``test_replay_venue.py``:

- A command arrives after the latency. One that arrives between data is carried out at its time, after all alerts
  of that time. One that arrives with data waits for its own symbol's quote of that time, which counts already;
  without one, for the alerts of that time. Without latency it is carried out after the row it was sent in.
- An immediate-or-cancel order whose limit the quote does not reach is cancelled. One whose limit is reached meets
  the levels of ``taker_levels``; the rest is cancelled.
- A resting order that is reached on arrival takes the quote at its price, up to the quote's size. Whenever an order
  at rest is reached, by a quote or after any command was carried out on its account, it fills at its limit, as
  maker and up to the quote's size: buys, then sells, each the best price first, then the oldest. That comes before
  anybody sees the quote.
- Fees are exact products, rounded half-even to 8 places.
- What is under way at the end is never heard of again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from backtest.replay_clock import AlertClock
from backtest.tape import Quote
from risk.errors import InvariantBroken
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import HlAccount, Input, VenuePositionsReported
from risk.market import SymbolSpec
from strategies.open_orders import OpenOrders
from venues.hyperliquid.simulation import Slippage, taker_levels

Fill = tuple[Decimal, Decimal]  # price, size
EVERY_SYMBOL = None
_FEE_QUANTUM = Decimal("1e-8")  # of USDC amounts in Nautilus


@dataclass(slots=True)
class _Order:
    """Hold an order as the venue sees it; ``side`` is +1 for a buy, ``left`` what is not filled."""

    cloid: str
    spec: SymbolSpec
    side: int
    limit: Decimal
    left: Decimal
    resting: bool


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Hold a command on its way: an order, or the name of the one to cancel."""

    at_ns: int
    symbol: str
    order: _Order | None
    cloid: str


class ReplayVenue:
    """Trade one account for the core; what becomes of its orders is told to ``command``.

    ``quote_of`` gives the quote a symbol has at this venue now, None without one. Orders may rest only where
    ``match`` is called upon every quote: sending one elsewhere raises InvariantBroken.
    """

    def __init__(
        self,
        account: HlAccount,
        specs: dict[str, SymbolSpec],
        slippage: Slippage,
        latency_ns: int,
        clock: AlertClock,
        quote_of: Callable[[str], Quote | None],
        command: Callable[[Input], object],
        *,
        may_rest: bool,
    ) -> None:
        self.account = account
        self.resting: dict[str, list[_Order]] = {}  # by symbol, never empty, oldest first
        self._specs = specs
        self._slippage = slippage
        self._latency_ns = latency_ns
        self._clock = clock
        self._quote_of = quote_of
        self._may_rest = may_rest
        self._orders = OpenOrders(command)
        self._live: set[str] = set()  # cloids of orders neither filled nor cancelled
        self._under_way: list[_Arrival] = []  # by arrival: the latency is one for all
        self._sizes: dict[str, Decimal] = {}

    def send(self, request: VenueOrderRequested) -> None:
        """Take an order on its way."""
        if request.resting and not self._may_rest:
            raise InvariantBroken(
                f"{request.cloid} is to rest on account {self.account}, where no replay can"
            )
        spec = self._specs[request.symbol]
        limit = spec.limit_on_grid(request.limit_price, request.side)
        size = request.size.quantize(spec.lot, rounding=ROUND_HALF_EVEN)
        order = _Order(request.cloid, spec, request.side, limit, size, request.resting)
        self._orders.sent(request)
        self._live.add(request.cloid)
        self._put(_Arrival(self._clock.now_ns + self._latency_ns, request.symbol, order, request.cloid))

    def cancel(self, request: VenueCancelRequested) -> None:
        """Take a cancel on its way if its order is still live: of one just filled the core may not know yet."""
        if request.cloid in self._live:
            self._put(_Arrival(self._clock.now_ns + self._latency_ns, request.symbol, None, request.cloid))

    def _put(self, arrival: _Arrival) -> None:
        self._under_way.append(arrival)
        self._clock.alert(f"venue:{arrival.at_ns}", arrival.at_ns, _let_time_pass)

    def take_arrived(self, symbol: str | None) -> list[_Arrival]:
        """Remove and return what has arrived for ``symbol``, or EVERY_SYMBOL; all of it without latency."""
        now_ns, under_way = self._clock.now_ns, self._under_way
        if not under_way or under_way[0].at_ns > now_ns:
            return []
        every = symbol is EVERY_SYMBOL or not self._latency_ns
        taken: list[_Arrival] = []
        kept: list[_Arrival] = []
        for arrival in under_way:
            due = arrival.at_ns <= now_ns and (every or arrival.symbol == symbol)
            (taken if due else kept).append(arrival)
        self._under_way = kept
        return taken

    def carry_out(self, arrivals: list[_Arrival]) -> None:
        """Do what commands ask for, in the order of their arrival."""
        for arrival in arrivals:
            if arrival.order is None:
                self._drop(arrival)
            elif arrival.order.resting:
                self._rest(arrival.order)
            else:
                self._take(arrival.order)

    def match_all(self) -> None:
        """Fill the orders at rest that their quotes reach."""
        for symbol in sorted(self.resting):
            self.match(symbol)

    def match(self, symbol: str) -> None:
        """Fill a symbol's orders at rest that its quote reaches."""
        quote = self._quote_of(symbol)
        if quote is None:
            return
        for side in (1, -1):
            waiting = [order for order in self.resting.get(symbol, ()) if order.side == side]
            for order in sorted(waiting, key=lambda order: -order.side * order.limit):
                best, size = _facing(quote, order)
                if side * best <= side * order.limit:
                    self._fill(order, order.limit, min(size, order.left), maker=True)
        self._forget_filled(symbol)

    def positions(self) -> VenuePositionsReported:
        """Say what stands on the account."""
        return VenuePositionsReported(self._clock.now_ns, self.account, tuple(sorted(self._sizes.items())))

    def _drop(self, arrival: _Arrival) -> None:
        held = self.resting.get(arrival.symbol, [])
        found = [order for order in held if order.cloid == arrival.cloid]
        if found:
            found[0].left = Decimal(0)
            self._forget_filled(arrival.symbol)
            self._end(arrival.cloid)

    def _rest(self, order: _Order) -> None:
        symbol = order.spec.symbol
        self.resting.setdefault(symbol, []).append(order)
        quote = self._quote_of(symbol)
        if quote is not None:
            best, size = _facing(quote, order)
            if order.side * best <= order.side * order.limit:
                self._fill(order, best, min(size, order.left), maker=False)
                self._forget_filled(symbol)

    def _take(self, order: _Order) -> None:
        quote = self._quote_of(order.spec.symbol)
        if quote is not None:
            best, _ = _facing(quote, order)
            if order.side * best <= order.side * order.limit:
                for price, size in list(self._levels(order, best)):
                    self._fill(order, price, size, maker=False)
        self._end(order.cloid)

    def _end(self, cloid: str) -> None:
        self._live.discard(cloid)
        self._orders.ended(self._clock.now_ns, cloid)

    def _levels(self, order: _Order, best: Decimal) -> Iterator[Fill]:
        """Yield the fills of an order through the levels beyond ``best`` and within its limit."""
        for price, size in taker_levels(best, order.side, order.left, self._slippage, order.spec):
            if order.side * price > order.side * order.limit:
                return
            yield price, size

    def _fill(self, order: _Order, price: Decimal, size: Decimal, *, maker: bool) -> None:
        spec = order.spec
        price, size = _exact(price, spec.price_decimals), _exact(size, spec.size_decimals)
        if not size:
            return
        order.left -= size
        if not order.left:
            self._live.discard(order.cloid)
        stands = self._sizes.get(spec.symbol, Decimal(0)) + order.side * size
        if stands:
            self._sizes[spec.symbol] = stands
        else:
            self._sizes.pop(spec.symbol, None)
        rate = spec.maker_fee_rate if maker else spec.taker_fee_rate
        fee = (price * size * rate).quantize(_FEE_QUANTUM, rounding=ROUND_HALF_EVEN)
        self._orders.filled(self._clock.now_ns, order.cloid, price, size, fee, maker=maker)

    def _forget_filled(self, symbol: str) -> None:
        left = [order for order in self.resting.pop(symbol, ()) if order.left]
        if left:
            self.resting[symbol] = left


def _facing(quote: Quote, order: _Order) -> Fill:
    """Return the price and size of the quote's side that an order would meet."""
    bid, ask, bid_size, ask_size = quote
    price, size = (ask, ask_size) if order.side > 0 else (bid, bid_size)
    spec = order.spec
    return Decimal(f"{price:.{spec.price_decimals}f}"), Decimal(f"{size:.{spec.size_decimals}f}")


def _exact(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)


def _let_time_pass(_: int) -> None:
    """Do nothing: after every alert the venues carry out what has arrived."""
