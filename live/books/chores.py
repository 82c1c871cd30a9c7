"""What the books do beside their work, on their own connection: reconcile, learn and forget keys, prepare months."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import asyncpg

from live.books.clock import Clock
from live.books.process import BooksProcess
from live.ledger.writer import LOST
from risk.settings import DAY_NS, HOUR_NS, MINUTE_NS
from strategies.driver import next_multiple

KEYS_KEPT_NS = DAY_NS
_KEYS_AT_ONCE = 5_000
_ONCE_NS = 1 << 62  # longer than any process runs
_AHEAD_NS = 62 * DAY_NS  # more than a commit asks for, so that no commit ever makes a partition
_PATIENCE_S = 0.05  # between two looks for a moment whose figures are known
_log = logging.getLogger(__name__)

Connect = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]


@dataclass(slots=True)
class _Chore:
    work: Callable[[asyncpg.Connection], Awaitable[None]]
    every_ns: int
    due_ns: int


class Chores:
    """Do what is due by ``clock``, one thing at a time; what the database did not let be done is tried again."""

    def __init__(self, process: BooksProcess, connect: Connect, clock: Clock) -> None:
        self._process = process
        self._connect = connect
        self._clock = clock
        self._rung = asyncio.Event()
        now = clock.now_ns()
        self._chores = [
            _Chore(self._reconcile, HOUR_NS, next_multiple(HOUR_NS, now)),
            _Chore(self._learn_keys, _ONCE_NS, now),
            _Chore(self._forget_keys, MINUTE_NS, next_multiple(MINUTE_NS, now)),
            _Chore(self._prepare_months, DAY_NS, next_multiple(MINUTE_NS, now)),
        ]

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                due_ns = min(chore.due_ns for chore in self._chores)
                if due_ns > self._clock.now_ns():  # time may have passed it while we worked
                    self._clock.call_at(due_ns, self._rung.set)
                    await self._rung.wait()
                    self._rung.clear()
                await self._do_what_is_due()
        finally:
            self._clock.cancel(self._rung.set)

    async def _do_what_is_due(self) -> None:
        now = self._clock.now_ns()
        due = [chore for chore in self._chores if chore.due_ns <= now]
        try:
            async with self._connect() as connection:
                await self._check_claim(connection)
                for chore in due:
                    await chore.work(connection)
                    chore.due_ns = next_multiple(chore.every_ns, now)
        except LOST as error:
            _log.warning("chores of the books wait for the database: %s", str(error) or type(error).__name__)
            for chore in due:
                chore.due_ns = max(chore.due_ns, next_multiple(MINUTE_NS, now))

    async def _check_claim(self, connection: asyncpg.Connection) -> None:
        """Raise ConnectionError unless this server has our claim, and with it all that was stored before.

        Of several hosts one may answer that lags, or comes back after another took its place.
        """
        epoch = await connection.fetchval("select epoch from books_writer")
        if epoch != self._process.epoch:
            raise ConnectionError(f"the books' epoch there is {epoch}, not {self._process.epoch}")

    async def _reconcile(self, connection: asyncpg.Connection) -> None:
        """Compare everything with the database, and journal what was found."""
        while (found := await self._process.reconciler.full_pass(connection)) is None:
            await asyncio.sleep(_PATIENCE_S)
        for done in found:
            self._process.tell(done)

    async def _learn_keys(self, connection: asyncpg.Connection) -> None:
        await self._process.stored_keys.learn(connection)

    async def _forget_keys(self, connection: asyncpg.Connection) -> None:
        """Delete the answers older than a day, a piece at a time so that no commit waits long."""
        oldest_us = (self._clock.now_ns() - KEYS_KEPT_NS) // 1_000
        sql = """delete from idempotency_keys where key in (select key from idempotency_keys
            where created_at < timestamptz 'epoch' + $1::bigint * interval '1 microsecond'
            order by created_at limit $2)"""
        while await connection.execute(sql, oldest_us, _KEYS_AT_ONCE) == f"DELETE {_KEYS_AT_ONCE}":
            await asyncio.sleep(0)
        self._process.stored_keys.deleted(oldest_us * 1_000, self._process.now())

    async def _prepare_months(self, connection: asyncpg.Connection) -> None:
        """Make partitions well ahead; giving up soon, for commits would queue behind our wait for a reader."""
        now = self._clock.now_ns()
        async with connection.transaction():
            await connection.execute("set local lock_timeout = '500ms'")
            await connection.execute("select ensure_partitions($1, $2)", now, now + _AHEAD_NS)
