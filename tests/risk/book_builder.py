"""A ``Book`` in few words for tests: every input goes through ``Book.handle`` and the journal is checked each time."""

from dataclasses import replace
from decimal import Decimal

from risk.book import Book
from risk.events import Event, Transferred
from risk.house_events import VenueOrderRequested
from risk.inputs import (
    CancelSubmitted,
    ChannelReported,
    DepositCredited,
    FundingPublished,
    Input,
    MarginAdjusted,
    MarginMode,
    MarketUpdated,
    OrderSubmitted,
    OrderType,
    TimerFired,
    VenueFilled,
    VenueOrderEnded,
)
from risk.margin import MarginTiers
from risk.market import SymbolSpec, SymbolView
from risk.settings import DAY_NS, SECOND_NS, RiskConfig, RoutingConfig, Settings

D = Decimal
CROSS = MarginMode.CROSS
ISOLATED = MarginMode.ISOLATED
START_NS = 20_000 * DAY_NS  # a midnight

SPECS = {
    "BTC": SymbolSpec("BTC", 5, 1, MarginTiers.of([(0, 40)])),
    "ETH": SymbolSpec("ETH", 4, 2, MarginTiers.of([(0, 25)])),
    "COIN": SymbolSpec("COIN", 0, 5, MarginTiers.of([(0, 10), (3_000_000, 5)])),
}
MARKS = {"BTC": D(100_000), "ETH": D(4_000), "COIN": D(100)}
# What another test than that of the breaker, the caps or the hedger must not run into.
UNLIMITED = {
    "daily_loss_alert": D("1e12"),
    "daily_loss_breaker": D("1e12"),
    "symbol_exposure_cap": D("1e12"),
    "total_exposure_cap": D("1e12"),
}


def money(value: object) -> Decimal:
    """Give a number of a test as a Decimal."""
    return D(str(value))


def view_of(
    symbol: str, ts: int, mark: Decimal, prev: Decimal, seq: int, bid: Decimal, ask: Decimal
) -> SymbolView:
    """Make a view without depth or a moving range."""
    depth = D("1e9")
    return SymbolView(symbol, ts, mark, prev, mark, mark, mark, ts, ((bid, depth),), ((ask, depth),), seq)


def settings_with(risk: dict | None = None, **routing: object) -> Settings:
    """Make settings of the defaults with some fields of the risk config and the default routing row changed."""
    return Settings(routing={"*": RoutingConfig(**routing)}, risk=RiskConfig(**(risk or {})))


class Desk:
    """A book with a market: ``BTC`` 100 000, ``ETH`` 4 000, ``COIN`` 100, and a clock that only tests move."""

    def __init__(self, settings: Settings | None = None, *, specs=SPECS, marks=MARKS, hedging=False):
        settings = settings or Settings()
        risk = replace(settings.risk, hedging_enabled=hedging and settings.risk.hedging_enabled)
        self.settings = replace(settings, risk=risk)
        self.specs = specs
        self.book = Book(specs, self.settings, opened_ns=START_NS)
        self.ts = START_NS
        self.inputs: list[Input] = []
        self.sums: dict[str, Decimal] = {}
        self.marks = dict(marks)
        self.seqs = dict.fromkeys(marks, 0)
        self._orders = 0
        self._add_up(self.book.opening_events)
        for symbol in marks:
            self.mark(symbol, marks[symbol])

    # -- inputs

    def handle(self, given: Input) -> tuple[Event, ...]:
        """Hand an input in; every transaction must sum to zero and the balances must be their sums."""
        events = self.book.handle(given)
        self.inputs.append(given)
        self._add_up(events)
        return events

    def _add_up(self, events: tuple[Event, ...]) -> None:
        for event in of(events, Transferred):
            assert sum(amount for _, amount in event.entries) == 0, event
            for account, amount in event.entries:
                self.sums[account] = self.sums.get(account, D(0)) + amount
        balances = self.book.balances
        assert {k: v for k, v in self.sums.items() if v} == {k: v for k, v in balances.items() if v}

    def wait(self, seconds: object) -> None:
        """Let time pass without an input."""
        self.ts += int(money(seconds) * SECOND_NS)

    def timer(self, seconds: object = 0) -> tuple[Event, ...]:
        """Let time pass and the timer fire."""
        self.wait(seconds)
        return self.handle(TimerFired(self.ts))

    def deposit(self, user: str, amount: object) -> tuple[Event, ...]:
        """Credit a deposit."""
        return self.handle(DepositCredited(self.ts, user, money(amount), f"d{self.ts}"))

    def view(self, symbol: str, mark: object, **changes: object) -> SymbolView:
        """Make the symbol's next view; bid and ask default to the mark."""
        new = money(mark)
        self.seqs[symbol] += 1
        bid = money(changes.pop("bid", new))
        ask = money(changes.pop("ask", new))
        made = view_of(symbol, self.ts, new, self.marks[symbol], self.seqs[symbol], bid, ask)
        self.marks[symbol] = new
        return replace(made, **changes)

    def mark(self, symbol: str, mark: object, **changes: object) -> tuple[Event, ...]:
        """Move a symbol's mark; a view's fields may be given, and bid and ask."""
        return self.handle(MarketUpdated(self.ts, (self.view(symbol, mark, **changes),)))

    def glide(self, symbol: str, mark: object) -> tuple[Event, ...]:
        """Move a mark in steps of less than 5 %, so that price sanity stays quiet; return all events."""
        events: tuple[Event, ...] = ()
        target = money(mark)
        while self.marks[symbol] != target:
            here = self.marks[symbol]
            nearer = min(max(target, here * D("0.96")), here * D("1.04"))
            events += self.mark(symbol, target if nearer == target else nearer.quantize(D("0.1")))
        return events

    def order(
        self, user: str, symbol: str, side: int, size: object, *, oid: str | None = None, **fields: object
    ) -> tuple[Event, ...]:
        """Submit an order, at market unless ``limit`` or ``take_profit`` or ``stop_loss`` (prices) are given."""
        self._orders += 1
        kinds = {
            "limit": (OrderType.LIMIT, "limit_price"),
            "take_profit": (OrderType.TAKE_PROFIT, "trigger_price"),
            "stop_loss": (OrderType.STOP_LOSS, "trigger_price"),
        }
        for name, (kind, price_field) in kinds.items():
            if name in fields:
                fields["type"], fields[price_field] = kind, money(fields.pop(name))
        coins = None if size is None else money(size)
        order_id = oid or f"o{self._orders}"
        return self.handle(OrderSubmitted(self.ts, order_id, user, symbol, side, coins, **fields))

    def cancel(self, user: str, order_id: str) -> tuple[Event, ...]:
        """Cancel a waiting order."""
        return self.handle(CancelSubmitted(self.ts, order_id, user))

    def adjust(self, user: str, position_id: int, amount: object) -> tuple[Event, ...]:
        """Add or remove margin of an isolated position."""
        return self.handle(MarginAdjusted(self.ts, user, position_id, money(amount)))

    def funding(self, symbol: str, rate: object, oracle: object = None) -> tuple[Event, ...]:
        """Publish an hour's funding, at the mark unless an oracle price is given."""
        price = self.marks[symbol] if oracle is None else money(oracle)
        return self.handle(FundingPublished(self.ts, symbol, money(rate), price))

    def channel(self, connected: bool, round_trip_ns: int = 0) -> tuple[Event, ...]:
        """Report the state of the HL channel."""
        return self.handle(ChannelReported(self.ts, connected, round_trip_ns))

    def fill(
        self,
        order: VenueOrderRequested,
        price: object = None,
        size: object = None,
        fee: object = 0,
        *,
        maker: bool = False,
        end: bool = True,
    ) -> tuple[Event, ...]:
        """Fill an order at the venue, wholly at its mark unless told otherwise, and end it."""
        at = order.mark if price is None else money(price)
        coins = order.size if size is None else money(size)
        events = self.handle(VenueFilled(self.ts, order.cloid, at, coins, money(fee), maker))
        return events + self.end(order) if end else events

    def end(
        self, order: VenueOrderRequested, *, refused: bool = False, reason: str = ""
    ) -> tuple[Event, ...]:
        """End an order at the venue."""
        return self.handle(VenueOrderEnded(self.ts, order.cloid, refused, reason))

    def open_on_hl(
        self,
        user: str,
        symbol: str,
        side: int,
        size: object,
        *,
        price: object = None,
        fee: object = 0,
        **fields: object,
    ) -> int:
        """Open a HYPERLIQUID position, filled at its mark unless told otherwise; return its id."""
        sent = one(self.order(user, symbol, side, size, **fields), VenueOrderRequested)
        self.fill(sent, price, fee=fee)
        return max(self.book.positions)

    # -- what stands

    def balance(self, account: str) -> Decimal:
        """Return an account's balance, zero when it has none."""
        return self.book.balances.get(account, D(0))

    def cash(self, user: str) -> Decimal:
        """Return a user's cash."""
        return self.balance(f"user_cash:{user}")

    def replay(self) -> Book:
        """Hand the same inputs to a new book."""
        book = Book(self.specs, self.settings, opened_ns=START_NS)
        for given in self.inputs:
            book.handle(given)
        return book


def of[E](events: tuple[Event, ...], kind: type[E]) -> list[E]:
    """List the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def one[E](events: tuple[Event, ...], kind: type[E]) -> E:
    """Return the only event of its kind."""
    found = of(events, kind)
    assert len(found) == 1, f"{len(found)} {kind.__name__} in {events}"
    return found[0]


def changes(desk: Desk, act) -> dict[str, Decimal]:
    """Return what ``act()`` changed, by account."""
    before = desk.book.balances
    act()
    after = desk.book.balances
    names = [*before, *(name for name in after if name not in before)]
    deltas = {name: after.get(name, D(0)) - before.get(name, D(0)) for name in names}
    return {name: delta for name, delta in deltas.items() if delta}


def wide_desk(risk=None, **users):
    """Make a desk where marks may jump and any size is INTERNAL under normal mode."""
    settings = settings_with(
        {**UNLIMITED, "price_sanity_limit": D(10), **(risk or {})}, normal_threshold=D("1e9")
    )
    desk = Desk(settings)
    for user, amount in users.items():
        desk.deposit(user, amount)
    return desk


def to_hl(desk, user, symbol, side, size, **fields):
    """Open at Hyperliquid although the size is internal: through a slow channel."""
    desk.channel(True, SECOND_NS)
    position = desk.open_on_hl(user, symbol, side, size, **fields)
    desk.channel(True, 0)
    return position
