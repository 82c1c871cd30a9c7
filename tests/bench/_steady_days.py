"""A market whose days are all alike, and a machine that takes them: they end as they began but for ids and balances."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from live.ledger.batch import Batch
from live.ledger.inputs import DepositArrived, UserRegistered
from live.ledger.machine import Machine
from live.ledger.writer import Writer
from risk.events import PositionOpened
from risk.inputs import (
    ChannelReported,
    FundingPublished,
    MarginAdjusted,
    MarginMode,
    MarketUpdated,
    OrderSubmitted,
    OrderType,
    TimerFired,
)
from risk.settings import DAY_NS, SECOND_NS
from tests.risk.book_builder import MARKS, START_NS, D, view_of

HOUR_NS = 3_600 * SECOND_NS
USERS, STANDING, RESTING = 20_000, 20_000, 2_000
LIMITS, MARKETS, ADJUSTED = 210, 110, 10  # an hour; each order has one that closes what it opened
JOURNAL_ROWS_A_DAY = 24 * (5 * LIMITS + 3 * MARKETS + ADJUSTED)
ORDERS_A_DAY = 24 * 2 * (LIMITS + MARKETS)
INPUTS_A_COMMIT = 512
TRADERS = 24 * (LIMITS + MARKETS)  # each of whom trades once a day; the others hold what stands
HIGH, LOW = MARKS["BTC"], D(99_900)


class Trading:
    """Have a machine take inputs and a writer commit them."""

    def __init__(self, machine: Machine, writer: Writer) -> None:
        self.machine, self.writer = machine, writer
        self.now = machine.now
        self._views = {view.symbol: (view.mark, view.mark_seq) for view in machine.book.views()}

    async def take(self, given: Any, key: str | None = None) -> tuple[Any, ...]:
        """Take an input; commit where enough wait."""
        self.machine.idempotency_key = key
        events = self.machine.handle(given)
        self.machine.idempotency_key = None
        if self.machine.batch.size >= INPUTS_A_COMMIT:
            await self.commit()
        return events

    async def commit(self) -> Batch:
        """Commit what was taken, and return it."""
        batch = self.machine.take_batch()
        await self.writer.commit(batch, self.machine.seq, self.machine.link)
        return batch

    async def mark(self, symbol: str, mark: Decimal) -> tuple[Any, ...]:
        """Move a market."""
        before, seq = self._views.get(symbol, (mark, 0))
        self._views[symbol] = mark, seq + 1
        view = view_of(symbol, self.now, mark, before, seq + 1, mark, mark)
        return await self.take(MarketUpdated(self.now, (view,)))

    async def order(self, user: int, symbol: str, side: int, size: Decimal | None, **how: Any) -> list[int]:
        """Place an order; return the positions it opened."""
        name = self.machine.next_id(OrderSubmitted)
        given = OrderSubmitted(self.now, name, f"u{user}", symbol, side, size, leverage=10, **how)
        return opened(await self.take(given, f"key-{name}"))

    async def found(self) -> None:
        """Register users, and have them take the positions that stand from then on."""
        for symbol, mark in MARKS.items():
            await self.mark(symbol, mark)
        await self.take(ChannelReported(self.now, True))
        for user in range(USERS):
            await self.take(UserRegistered(self.now, f"u{user}", f"u{user}@example.com"), f"r{user}")
            deposit = DepositArrived(
                self.now, f"d{user}", f"u{user}", D(100_000), "eth", "USDC", f"0x{user}", 12
            )
            await self.take(deposit, f"d{user}")
        for place in range(STANDING):
            await self.order(
                TRADERS + place % (USERS - TRADERS),
                "ETH",
                (1, -1)[place % 2],
                D("0.5"),
                margin_mode=_mode(place // 2),
            )
        await self.commit()

    async def rest(self) -> None:
        """Leave orders waiting."""
        for place in range(RESTING):
            limit = {"type": OrderType.LIMIT, "limit_price": D(3_000)}
            await self.order(place, "ETH", 1, D("0.1"), margin_mode=_mode(place), **limit)
        await self.commit()

    async def day(self, number: int) -> None:
        """Trade for a day, at whose end only what stood before is left."""
        for hour in range(24):
            self.now = START_NS + number * DAY_NS + hour * HOUR_NS
            await self.take(TimerFired(self.now))
            await self.take(ChannelReported(self.now, True))
            await self._hour(hour)
        await self.commit()

    async def _hour(self, hour: int) -> None:
        trips: list[tuple[int, int, int]] = []
        for place in range(LIMITS + MARKETS):
            self.now += 4 * SECOND_NS
            user, side = hour * (LIMITS + MARKETS) + place, (1, -1)[place % 2]
            size, mode = D(1 + place % 5) / 100, _mode(place // 2)
            if place < LIMITS:
                await self.order(
                    user, "BTC", 1, size, margin_mode=mode, type=OrderType.LIMIT, limit_price=LOW
                )
            else:
                (position,) = await self.order(user, "BTC", side, size, margin_mode=mode)
                trips.append((user, -side, position))
        resting = opened(await self.mark("BTC", LOW))
        first = hour * (LIMITS + MARKETS)
        trips += [(first + place, -1, position) for place, position in enumerate(resting)]
        sign = 1 - 2 * (hour % 2)
        await self.take(FundingPublished(self.now, "BTC", sign * D("0.0001"), LOW))
        for user, _, position in trips[: 2 * ADJUSTED]:
            if self.machine.book.positions[position].isolated:
                await self.take(MarginAdjusted(self.now, f"u{user}", position, D(1)), f"a{self.machine.seq}")
        for user, side, position in trips:
            self.now += 4 * SECOND_NS
            await self.order(user, "BTC", side, None, position_id=position)
        await self.mark("BTC", HIGH)


def opened(events: Iterable[Any]) -> list[int]:
    """List the positions that events opened."""
    return [event.position_id for event in events if isinstance(event, PositionOpened)]


def _mode(place: int) -> MarginMode:
    return (MarginMode.ISOLATED, MarginMode.CROSS)[place % 2]
