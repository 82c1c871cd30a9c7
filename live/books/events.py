"""What the books tell whoever listens: what each commit changed for users, after it, and how the market moves."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import msgspec

from live.ledger.batch import Batch
from live.ledger.rows_house import ServiceLevelRow
from live.ledger.rows_money import BalanceLogRow, WalletRow
from live.ledger.rows_trading import FillRow, FundingSettlementRow, LiquidationRow, OrderRow, PositionRow
from live.ledger.rows_users import DepositRow, WithdrawalRow

_MOST_WAITING = 4_096  # events that a listener may be behind


class UserRows(msgspec.Struct, omit_defaults=True):
    """Hold the rows that a commit wrote for one user."""

    orders: list[OrderRow] = []
    fills: list[FillRow] = []
    positions: list[PositionRow] = []
    liquidations: list[LiquidationRow] = []
    funding_settlements: list[FundingSettlementRow] = []
    balance_logs: list[BalanceLogRow] = []
    deposits: list[DepositRow] = []
    withdrawals: list[WithdrawalRow] = []
    wallets: list[WalletRow] = []

    def __iter__(self) -> Iterator[Any]:
        for name in self.__struct_fields__:
            yield from getattr(self, name)


class Committed(msgspec.Struct, frozen=True, tag=True):
    """Tell that the inputs up to ``seq`` are committed, and what that changed, by user; ``at`` is the books' time.

    ``level`` is the level of service, where that changed.
    """

    seq: int
    at: int
    users: dict[str, UserRows]
    level: int | None = None


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Hold a symbol's mark and best prices, USDC per coin."""

    symbol: str
    mark: Decimal
    bid: Decimal
    ask: Decimal


class Marks(msgspec.Struct, frozen=True, tag=True):
    """Tell the market of the symbols in which it moved."""

    at: int
    marks: tuple[Mark, ...]


class Gap(msgspec.Struct, frozen=True, tag=True):
    """Tell that events before this one may be missing: what must be known is in the database."""


BooksEvent = Committed | Marks | Gap

_REPLACED = {
    OrderRow: "orders",
    PositionRow: "positions",
    DepositRow: "deposits",
    WithdrawalRow: "withdrawals",
}
_APPENDED = {
    FillRow: "fills",
    LiquidationRow: "liquidations",
    FundingSettlementRow: "funding_settlements",
    BalanceLogRow: "balance_logs",
}


def committed_of(batch: Batch, seq: int, at: int) -> Committed:
    """Sort the rows of a batch by user."""
    users: dict[str, UserRows] = {}

    def add(name: str, row: Any) -> None:
        of_user = users.get(row.user_id)
        if of_user is None:
            of_user = users[row.user_id] = UserRows()
        getattr(of_user, name).append(row)

    for kind, name in _APPENDED.items():
        for row in batch.appended[kind]:
            add(name, row)
    for kind, name in _REPLACED.items():
        for row in batch.replaced[kind].values():
            add(name, row)
    for row in batch.replaced[WalletRow].values():
        add("wallets", row)
    switches = batch.appended[ServiceLevelRow]
    return Committed(seq, at, users, switches[-1].level if switches else None)


class Listener:
    """Iterate over events; one that falls too far behind loses those that wait, and gets a Gap instead."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[BooksEvent] = deque()
        self._some = asyncio.Event()

    def put(self, event: BooksEvent) -> None:
        """Take an event; never waits."""
        if len(self._waiting) >= self._most:
            self._waiting.clear()
            self._waiting.append(Gap())
        self._waiting.append(event)
        self._some.set()

    async def some(self, most: int) -> list[BooksEvent]:
        """Wait for events; return up to ``most``."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def __aiter__(self) -> AsyncIterator[BooksEvent]:
        return self

    async def __anext__(self) -> BooksEvent:
        (event,) = await self.some(1)
        return event


class EventHub:
    """Give events to all who listen in this process."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    @property
    def heard(self) -> bool:
        """Tell whether anyone listens: else there is nothing to be made."""
        return bool(self._listeners)

    def publish(self, event: BooksEvent) -> None:
        """Tell every listener, and wait for none."""
        for listener in self._listeners:
            listener.put(event)

    @contextmanager
    def listening(self, most: int = _MOST_WAITING) -> Iterator[Listener]:
        """Listen while the block lasts, ``most`` events behind at most."""
        listener = Listener(most)
        self._listeners.append(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)
