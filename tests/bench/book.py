"""Time the book itself: ``python tests/bench/book.py``.

``order`` is one internal market order (opens and closes in turn, isolated and cross, 50 symbols, 2 000 users) with
its journal entries, checks, routing record and fills. Beside it, in the same run, the plainest bookkeeping that
moves the same money: floats in dicts, no journal, no margin rules. ``cross`` is a rising walk of one mark in steps
of up to 10 bps under 2 000 cross accounts of four symbols each: confirmed and filed anew in exact decimal where their
bands are met, liquidated where they are under water. ``liquidations`` is one mark that puts 10 000 isolated
positions under water, from the input to the last settled position. The collector runs; ``gc.freeze`` takes what
was loaded out of its sight, as a service would at start.
"""

import gc
import random
from decimal import Decimal
from itertools import pairwise
from time import perf_counter

from _bench import p50, p99, show, time_each

from risk.book import Book
from risk.inputs import DepositCredited, MarginMode, MarketUpdated, OrderSubmitted
from risk.margin import MarginTiers
from risk.market import SymbolSpec, SymbolView
from risk.settings import DAY_NS, RiskConfig, RoutingConfig, Settings

SYMBOLS = [f"S{i:02}" for i in range(50)]
USERS = [f"user{i}" for i in range(2_000)]
ORDERS = 20_000
LIQUIDATED = 10_000
OPENED_NS = 20_000 * DAY_NS
MARK = Decimal(1000)
UNLIMITED = Decimal("1e12")
GOAL_ORDER_P99_US = 100.0
GOAL_LIQUIDATIONS_MS = 300.0


def open_book(poorest: int = 1_000_000, step: int = 0) -> Book:
    """Open a book in which any size is internal; each user has ``step`` USDC more than the one before."""
    tiers = MarginTiers.of([(0, 40), (150_000, 20), (500_000, 10)])
    specs = {name: SymbolSpec(name, 3, 2, tiers) for name in SYMBOLS}
    risk = RiskConfig(
        symbol_exposure_cap=UNLIMITED,
        total_exposure_cap=UNLIMITED,
        daily_loss_alert=UNLIMITED,
        daily_loss_breaker=UNLIMITED,
        reserve_capital=UNLIMITED,
        hedge_account_capital=UNLIMITED,
    )
    rows = {"*": RoutingConfig(normal_threshold=UNLIMITED)}
    book = Book(specs, Settings(routing=rows, risk=risk), opened_ns=OPENED_NS)
    book.handle(MarketUpdated(OPENED_NS, tuple(view(name, MARK, MARK, 1) for name in SYMBOLS)))
    for i, user in enumerate(USERS):
        book.handle(DepositCredited(OPENED_NS, user, Decimal(poorest + step * i), user))
    return book


def view(symbol: str, mark: Decimal, before: Decimal, seq: int) -> SymbolView:
    """Make a view with the best level only."""
    level = ((mark, Decimal(1_000_000)),)
    return SymbolView(symbol, OPENED_NS, mark, before, mark, mark, mark, OPENED_NS, level, level, seq)


def draw_orders(seed: int = 1) -> list[OrderSubmitted]:
    """Draw orders of which every second one closes what an earlier one opened."""
    rng = random.Random(seed)
    orders: list[OrderSubmitted] = []
    for i in range(ORDERS // 2):
        user, symbol, side = rng.choice(USERS), rng.choice(SYMBOLS), rng.choice((1, -1))
        size = Decimal(rng.randint(1, 5_000)) / 1000
        mode = rng.choice(list(MarginMode))
        opens = OrderSubmitted(OPENED_NS, f"o{i}", user, symbol, side, size, leverage=10, margin_mode=mode)
        orders.append(opens)
        orders.append(OrderSubmitted(OPENED_NS, f"c{i}", user, symbol, -side, None, position_id=i + 1))
    return orders


class Plain:
    """Move the same money in floats: threshold, margin, fee, PnL."""

    def __init__(self) -> None:
        self.cash = dict.fromkeys(USERS, 1_000_000.0)
        self.house = {"fees": 0.0, "profit": 0.0}
        self.positions: dict[int, tuple[str, str, int, float, float, float]] = {}
        self.net = dict.fromkeys(SYMBOLS, 0.0)
        self.next = 1

    def handle(self, order: tuple[str, str, int, float, int | None]) -> None:
        user, symbol, side, size, position_id = order
        price = 1000.0
        if position_id is not None:
            _, _, held, coins, entry, margin = self.positions.pop(position_id)
            pnl = held * (price - entry) * coins
            fee = price * coins * 0.0005
            self.cash[user] += margin + pnl - fee
            self.house["profit"] -= pnl
            self.net[symbol] -= held * coins
        elif size * price <= 1e12:
            margin, fee = size * price / 10, size * price * 0.0005
            if self.cash[user] < margin + fee:
                return
            self.cash[user] -= margin + fee
            self.positions[self.next] = (user, symbol, side, size, price, margin)
            self.net[symbol] += side * size
            self.next += 1
        else:
            return
        self.house["fees"] += fee


def as_floats(order: OrderSubmitted) -> tuple[str, str, int, float, int | None]:
    """Give the same order in floats."""
    return order.user, order.symbol, order.side, float(order.size or 0), order.position_id


def time_orders() -> tuple[list[int], list[int]]:
    """Time every order in the book and in plain floats."""
    book, plain, orders = open_book(), Plain(), draw_orders()
    floats = [as_floats(order) for order in orders]
    gc.collect()
    gc.freeze()
    spent = time_each(book.handle, orders)
    assert not book.positions
    assert not book.balances["bad_debt"]
    bare = time_each(plain.handle, floats)
    gc.unfreeze()
    return spent, bare


def time_liquidations() -> float:
    """Time one mark that liquidates isolated positions of one symbol; return milliseconds."""
    book = open_book()
    for i in range(LIQUIDATED):
        size = Decimal(1 + i % 40) / 1000
        book.handle(OrderSubmitted(OPENED_NS, f"o{i}", USERS[i % len(USERS)], "S00", 1, size, leverage=40))
    assert len(book.positions) == LIQUIDATED
    gc.collect()
    gc.freeze()
    crash = MarketUpdated(OPENED_NS, (view("S00", Decimal(960), MARK, 2),))
    start = perf_counter()
    book.handle(crash)
    spent = perf_counter() - start
    gc.unfreeze()
    assert not book.positions
    return spent * 1000


def time_cross(steps: int = 2_000) -> list[int]:
    """Time a walk of one mark under many cross accounts; return nanoseconds, ascending."""
    book, rng = open_book(11_000, 10), random.Random(2)
    for i, user in enumerate(USERS):
        for leg in range(4):
            symbol = SYMBOLS[(i + 7 * leg) % 50] if leg else "S00"
            side, size = rng.choice((1, -1)), Decimal(rng.randint(50, 100))
            order_id = f"o{i}:{leg}"
            book.handle(
                OrderSubmitted(
                    OPENED_NS, order_id, user, symbol, side, size, leverage=40, margin_mode=MarginMode.CROSS
                )
            )
    assert len(book.positions) == 4 * len(USERS)
    gc.collect()
    gc.freeze()
    marks = [MARK]
    for _ in range(steps):
        marks.append((marks[-1] * (1 + Decimal(rng.randint(-9, 10)) / 10_000)).quantize(Decimal("0.01")))
    updates = [
        MarketUpdated(OPENED_NS, (view("S00", mark, before, seq),))
        for seq, (before, mark) in enumerate(pairwise(marks), 2)
    ]
    spent = time_each(book.handle, updates)
    gc.unfreeze()
    assert 0 < len(book.positions) < 4 * len(USERS)
    return spent


def main() -> None:
    """Measure and show."""
    spent, bare = time_orders()
    cross = time_cross()
    liquidations = time_liquidations()
    show(
        "The book",
        ["", "p50 µs", "p99 µs", "plain p50 µs", "plain p99 µs", "ratio p50", "goal p99"],
        [
            [
                "order",
                p50(spent),
                p99(spent),
                p50(bare),
                p99(bare),
                p50(spent) / p50(bare),
                GOAL_ORDER_P99_US,
            ],
            ["cross mark", p50(cross), p99(cross), "", "", "", ""],
        ],
    )
    show(
        f"{LIQUIDATED:,} isolated liquidations by one mark",
        ["", "ms", "µs each", "goal ms"],
        [["settled", liquidations, liquidations * 1000 / LIQUIDATED, GOAL_LIQUIDATIONS_MS]],
    )


if __name__ == "__main__":
    main()
