"""Books on a database of their own, for tests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from live.books.clock import Clock, SetClock
from live.books.commands import Answer, Asked, Command
from live.books.process import BooksProcess
from live.books.service import open_books
from live.ledger.book_options import BookOptions
from live.ledger.inputs import (
    DepositArrived,
    UserRegistered,
    WithdrawalConfirmed,
    WithdrawalProcessed,
    WithdrawalSending,
)
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import ChannelReported, HlAccount, OrderSubmitted
from tests.postgres import Postgres
from tests.risk.book_builder import MARKS, SPECS, START_NS, UNLIMITED, D, settings_with

DEPTH = 1e9


@pytest.fixture
def database(postgres: Postgres) -> str:
    """Give the address of a migrated database without rows, which other tests use before and after."""
    return postgres.empty_database()


@pytest.fixture(name="database")
def own_database(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the address of a migrated database that this test alone uses, whoever it leaves behind."""
    name = "books_" + "".join(c if c.isalnum() else "_" for c in request.node.name)[:50].lower()
    yield postgres.migrated_database(name)
    postgres.drop_database(name)


def books_options(risk: dict[str, Any] | None = None, **routing: Any) -> BookOptions:
    """Give options of the book builder's symbols; nothing hedges and no cap is in the way unless asked for."""
    settings = settings_with({**UNLIMITED, "hedging_enabled": False, **(risk or {})}, **routing)
    return BookOptions.of(SPECS, settings)


class RecordingPort:
    """Keep what the books asked of the venue."""

    def __init__(self) -> None:
        self.sent: list[VenueOrderRequested] = []
        self.cancelled: list[VenueCancelRequested] = []

    def send(self, request: VenueOrderRequested) -> None:
        self.sent.append(request)

    def cancel(self, request: VenueCancelRequested) -> None:
        self.cancelled.append(request)


class Desk:
    """Books with a market and a clock that only the test moves, in few words."""

    def __init__(self, process: BooksProcess, clock: Clock, ports: dict[HlAccount, RecordingPort]) -> None:
        self.process = process
        self.clock = clock
        self.ports = ports
        self._keys = 0

    async def ask(self, asked: Asked, key: str | None = None) -> Answer:
        """Have something done; every call has a key of its own unless it names one."""
        self._keys += 1
        return await self.process.submit(
            Command(key or f"key-{self.process.machine.seq}-{self._keys}", asked)
        )

    def mark(self, symbol: str, mark: float) -> None:
        """Move a symbol's market to ``mark``, without a spread."""
        self.process.quote(symbol, mark, mark, DEPTH, DEPTH)
        self.process.mark(symbol, mark)

    async def user(self, name: str, amount: object = 100_000) -> None:
        """Register a user and credit a deposit."""
        await self.ask(UserRegistered(0, name))
        deposit = DepositArrived(0, f"deposit-{name}", name, D(str(amount)), "eth", "USDC", "0x1", 12)
        assert (await self.ask(deposit)).status == "DONE"

    async def send_withdrawal(self, name: str) -> None:
        """Confirm a withdrawal, hand it to its chain and have it sent."""
        steps = (
            WithdrawalConfirmed(0, name, "AUTOMATIC"),
            WithdrawalSending(0, name),
            WithdrawalProcessed(0, name, True, f"0x{name}"),
        )
        for step in steps:
            answer = await self.ask(step)
            assert answer.status == "DONE", answer

    async def order(self, user: str, symbol: str, side: int, size: object, **fields: Any) -> Answer:
        """Place an order."""
        key = fields.pop("key", None)
        return await self.ask(OrderSubmitted(0, "", user, symbol, side, D(str(size)), **fields), key)


@asynccontextmanager
async def a_desk(dsn: str, options: BookOptions | None = None, **how: Any) -> AsyncIterator[Desk]:
    """Open books at ``dsn``; new ones get the book builder's market and a channel to the venue."""
    clock = how.pop("clock", None) or SetClock(START_NS)
    ports = {account: RecordingPort() for account in HlAccount}
    async with open_books(dsn, options or books_options(), ports, clock=clock, **how) as process:
        desk = Desk(process, clock, ports)
        if not process.machine.book.views():
            for symbol, mark in MARKS.items():
                desk.mark(symbol, float(mark))
            process.tell(ChannelReported(0, True))
        yield desk
