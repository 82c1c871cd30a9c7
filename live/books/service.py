"""Opening the books on a database: connect, keep others out, come back to where they stood, and work."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from live.books.chores import Chores
from live.books.clock import Clock, WallClock
from live.books.lookout import Lookout
from live.books.process import BooksProcess, Limits
from live.ledger.book_options import BookOptions
from live.ledger.machine import Machine
from live.ledger.recovery import recover
from live.ledger.writer import Writer
from live.tasks import end
from risk.errors import InvalidInput
from risk.inputs import HlAccount
from strategies.driver import VenuePort

_LOCK = 0x626F6F6B73  # of the advisory lock that the writer holds: "books"
_NEVER_WRITTEN = -1
_END_THE_HOLDER = """select pg_terminate_backend(pid) from pg_locks
    where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
    and classid = $1 and objid = $2 and objsubid = 1 and granted"""


@asynccontextmanager
async def open_books(
    dsn: str,
    options: BookOptions,
    ports: dict[HlAccount, VenuePort],
    *,
    clock: Clock | None = None,
    limits: Limits | None = None,
    take_over: bool = False,
    ours: int | None = None,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> AsyncIterator[BooksProcess]:
    """Run the books on a migrated database for as long as the block lasts; leaving it commits what was handled.

    ``options`` open new books; books that exist are as their journal says. While another process writes them
    this raises InvalidInput, unless ``take_over`` ends that one's right to, or its epoch is ``ours``: a
    connection of this program's that the server does not know to be dead. What ends the process early, such
    as CommitFailed, sets its ``ended`` and is raised at the end of the block; commands raise NotAnswered
    meanwhile.
    """
    clock = clock or WallClock()
    limits = limits or Limits()
    async with (
        _connection(dsn, limits.patience_s) as writing,
        _connection(dsn) as reading,
        _connection(dsn, limits.patience_s) as looking,
        AsyncExitStack() as more,
    ):
        if not await _keep_others_out(writing, take_over, ours):
            await more.enter_async_context(_in_line(dsn))
        writer = await Writer.claim(writing, f"{socket.gethostname()} pid {os.getpid()}")
        if writer.seq == _NEVER_WRITTEN:
            machine = Machine(options, clock.now_ns())
        else:
            machine = await recover(reading, writer.seq, progress)
        process = BooksProcess(machine, writer, reading, ports, clock, limits)
        running = asyncio.create_task(process.run())
        running.add_done_callback(lambda _: process.ended.set())
        chores = asyncio.create_task(Chores(process, lambda: _connection(dsn), clock).run())
        chores.add_done_callback(lambda _: running.cancel())  # books that nobody reconciles must not go on
        lookout = Lookout(process, looking)
        lookout.watch(writing, reading)
        watching = asyncio.create_task(lookout.run())
        try:
            yield process
        finally:
            await end(
                chores, watching
            )  # and ``running`` with the chores, once: twice would break off its last commit
            await asyncio.wait({running})
        for task in (running, chores):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error


@asynccontextmanager
async def _connection(dsn: str, patience_s: float | None = None) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, command_timeout=patience_s)
    try:
        yield connection
    finally:
        connection.terminate()  # in order or not: nothing is left to be said, and a dead server must not hold us


async def _keep_others_out(connection: asyncpg.Connection, take_over: bool, ours: int | None) -> bool:
    """Take the lock that tells a second process early; the epoch is what keeps its commits out.

    Returns False where the one we take over from has it.
    """
    if await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):
        return True
    found = await connection.fetchrow("select holder, since, epoch from books_writer")
    if found["epoch"] == ours:
        await connection.execute(_END_THE_HOLDER, _LOCK >> 32, _LOCK & 0xFFFFFFFF)
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        return True
    if take_over:
        return False
    raise InvalidInput(
        f"the books are being written by {found['holder']} since {found['since']:%Y-%m-%d %H:%M:%S} UTC; "
        "stop that process, or have `hybrid-perps books --take-over` end its right to"
    )


@asynccontextmanager
async def _in_line(dsn: str) -> AsyncIterator[None]:
    """Wait for the lock behind the one we took over from, lest it, or a third, comes in when that one goes."""
    async with _connection(dsn) as connection:
        waiting = asyncio.create_task(connection.execute("select pg_advisory_lock($1)", _LOCK))
        try:
            yield
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
