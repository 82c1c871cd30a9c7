"""Books served over a bus, for tests: with a market that stands still."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg

from live.books.bus import Bus
from live.books.commands import Answer, Command, NotAnswered
from live.books.feed import Feed
from live.books.process import BooksProcess
from live.books.server import BooksServer
from live.ledger.book_options import BookOptions
from live.ledger.inputs import DepositArrived, UserRegistered
from live.settings import LiveSettings
from risk.inputs import ChannelReported, HlAccount, OrderSubmitted
from strategies.driver import VenuePort
from tests.live.books import DEPTH, RecordingPort, books_options
from tests.risk.book_builder import MARKS, D

USERS = ("ann", "bob", "cid", "dee")


class StandingFeed:
    """Give every symbol the book builder's mark, again and again."""

    def __init__(self) -> None:
        self.ports: dict[HlAccount, VenuePort] = {account: RecordingPort() for account in HlAccount}

    async def drive(self, process: BooksProcess) -> None:
        process.tell(ChannelReported(0, True))
        while True:
            for symbol, mark in MARKS.items():
                process.quote(symbol, float(mark), float(mark), DEPTH, DEPTH)
                process.mark(symbol, float(mark))
            await asyncio.sleep(1)


@asynccontextmanager
async def served(
    dsn: str,
    bus_url: str | None = None,
    *,
    take_over: bool = False,
    feed: Feed | None = None,
    options: BookOptions | None = None,
) -> AsyncIterator[tuple[BooksServer, list[BooksProcess]]]:
    """Serve books at ``dsn``; gives the server, and the list of the processes it opened so far."""
    opened: list[BooksProcess] = []
    first = asyncio.Event()

    def noted(process: BooksProcess, _: str, __: float) -> None:
        opened.append(process)
        first.set()

    settings = LiveSettings(database_url=dsn, bus_url=bus_url)
    server = BooksServer(
        settings, options or books_options(), feed or StandingFeed(), take_over=take_over, opened=noted
    )
    running, opening = asyncio.create_task(server.run()), asyncio.create_task(first.wait())
    await asyncio.wait({running, opening}, return_when=asyncio.FIRST_COMPLETED)
    opening.cancel()
    try:
        if running.done():
            running.result()
        yield server, opened
    finally:
        running.cancel()
        await asyncio.wait({running})
    if not running.cancelled():
        running.result()


def order(user: str, number: int) -> Command:
    """Ask for a small order; its size tells it from others."""
    size = D(number % 90 + 10) / 10_000
    return Command(f"order-{user}-{number}", OrderSubmitted(0, "", user, "BTC", 1, size, leverage=10))


async def fund(bus: Bus, *users: str) -> None:
    """Register users with money."""
    for user in users or USERS:
        for key, asked in (
            (f"user-{user}", UserRegistered(0, user)),
            (f"money-{user}", DepositArrived(0, f"d-{user}", user, D(1_000_000), "eth", "USDC", "0x1", 12)),
        ):
            assert (await until_answered(bus, Command(key, asked))).status == "DONE"


async def until_answered(bus: Bus, command: Command) -> Answer:
    """Ask with the same key until there is an answer."""
    while True:
        try:
            return await bus.submit(command)
        except NotAnswered:
            await asyncio.sleep(0.02)


async def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.01)


def rows(dsn: str, sql: str) -> list[tuple]:
    """Read the database."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(sql.encode()).fetchall()


def each_once(dsn: str, answers: dict[str, Answer]) -> None:
    """Fail unless each key has the answer it was given, one order and its fills, and nothing else was done."""
    stored = dict(rows(dsn, "select key, answer from idempotency_keys where key like 'order-%'"))
    assert {key: Answer.from_json(text) for key, text in stored.items()} == answers
    orders = rows(dsn, "select id, count(*) over (partition by id) from orders order by id")
    assert orders == sorted((answer.id, 1) for answer in answers.values())
    fills = rows(dsn, "select id, order_id, price::text, size::text from fills order by id")
    told = [(f.id, a.id, D(f.price), D(f.size)) for a in answers.values() for f in a.fills]
    assert [(n, o, D(p), D(s)) for n, o, p, s in fills] == sorted(told)
