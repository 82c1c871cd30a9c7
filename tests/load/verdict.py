"""What must hold after any fault: nothing acknowledged lost, nothing doubled, sums zero, books equal the replay."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import psycopg

from live.books.commands import Answer
from live.ledger import audit, checks
from live.ledger.machine import Machine
from live.ledger.recovery import open_again, prove, replay
from risk.errors import HybridPerpsError
from risk.numbers import install_context
from tests.load.clients import Acknowledged, Record
from tests.load.wire import Standing

_AT_ONCE = 1_000

# Each gives no row where all is right; what it gives says what is wrong.
_NEVER = {
    "an idempotency key taken twice": """
        select idempotency_key, count(*) from input_journal
        where idempotency_key is not null and kind not in ('MarketUpdated', 'CommandInvalid', 'CommandRefused')
        group by 1 having count(*) > 1""",
    "an input carried out without an answer to its key": """
        select seq, idempotency_key from input_journal i where idempotency_key is not null
        and not exists (select from idempotency_keys k where k.key = i.idempotency_key)""",
    "inputs missing from the journal": """
        select count(*), max(seq) from input_journal
        having count(*) <> max(seq) + 1 or max(seq) <> (select seq from books_writer)""",
    "an order that was not asked for once": """
        select o.id, count(i) from orders o left join input_journal i on i.seq = o.seq
        and i.kind = 'OrderSubmitted' group by 1 having count(i) <> 1""",
    "a deposit that was not credited once": """
        select d.id, count(b) from deposits d left join balance_logs b
        on b.ref_id = d.id and b.user_id = d.user_id and b.amount = d.amount group by 1 having count(b) <> 1""",
    "the journal does not sum to zero": """
        select sum(amount) from journal_entries having sum(amount) <> 0""",
    "the balances do not sum to zero": """
        select balance from (select (select sum(balance) from house_accounts)
            + (select sum(total_balance + withdrawals_pending) from wallets) as balance) as all_of_it
        where balance <> 0""",
    "transactions missing from the journal": """
        select count(*), max(id) from journal having count(*) <> max(id) - min(id) + 1""",
    "a wallet that its log does not lead to": """
        select w.user_id, w.total_balance, l.total from wallets w join
        (select user_id, sum(amount) as total from balance_logs group by 1) l using (user_id)
        where w.total_balance <> l.total""",
}


class Violated(AssertionError):
    """Name what does not hold."""


class Verifier:
    """Follow the journal with a machine of its own, from its beginning, and compare at each ``check``.

    That machine never saw a snapshot: it is the replay of the whole journal, in as many pieces as checks.
    """

    def __init__(self, dsn: str, record: Record, asked_of_venue: Path) -> None:
        self.dsn = dsn
        self._record = record
        self._venue = asked_of_venue
        self._machine: Machine | None = None
        self._checked = 0  # of the acknowledged
        self.replayed = 0

    def check(self, standing: Standing | None) -> None:
        """Compare in a thread of one's own; raise Violated."""
        install_context()
        try:
            asyncio.run(self._check(standing))
        except HybridPerpsError as error:
            raise Violated(f"{type(error).__name__}: {error}") from error

    def check_everything(self) -> None:
        """Check every row of the books and every link of their chains as an operator would; raise Violated."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            wrong: list[object] = list(checks.check(connection).findings)
            wrong += audit.verify(connection, lambda *_: None).breaks
        if wrong:
            raise Violated(f"{len(wrong)} findings, the first: {wrong[0]}")

    async def _check(self, standing: Standing | None) -> None:
        if self._record.violations:
            raise Violated(self._record.violations[0])
        acknowledged = list(self._record.acknowledged.values())[self._checked :]
        asked_of_venue = self._venue.read_text().split() if self._venue.exists() else []
        connection = await asyncpg.connect(self.dsn, timeout=60)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                if not await self._follow(connection, standing) and not acknowledged:
                    return  # killed before their first commit
                for what, sql in _NEVER.items():
                    if row := await connection.fetchrow(sql):
                        raise Violated(f"{what}: {tuple(row)}")
                await _all_kept(connection, acknowledged)
                await _all_committed_first(connection, asked_of_venue)
        finally:
            await connection.close(timeout=60)
        self._checked += len(acknowledged)

    async def _follow(self, connection: asyncpg.Connection, standing: Standing | None) -> bool:
        """Replay what came since, compare with what books said on the way, and prove the end against the tables.

        Returns False for a journal without any input.
        """
        machine = self._machine
        if machine is None:
            first = await connection.fetchrow("select * from input_journal where seq = 0")
            if first is None:
                return False
            machine = self._machine = open_again(first)
            machine.batch.clear()
        if standing is not None:
            await self._replay(connection, machine, standing.seq)
            if (machine.seq, machine.book.digest()) != (standing.seq, standing.digest):
                raise Violated(
                    f"books said {standing}; the replay came to {machine.seq} {machine.book.digest()}"
                )
        await self._replay(connection, machine, 1 << 62)
        await prove(connection, machine)
        return True

    async def _replay(self, connection: asyncpg.Connection, machine: Machine, upto: int) -> None:
        sql = "select * from input_journal where seq > $1 and seq <= $2 order by seq"
        async for row in connection.cursor(sql, machine.seq, upto, prefetch=_AT_ONCE):
            replay(machine, row)
            self.replayed += 1


async def _all_kept(connection: asyncpg.Connection, acknowledged: Sequence[Acknowledged]) -> None:
    """Raise unless each answer that was given stands in the database as it was, at its place in the journal."""
    keys = [each.key for each in acknowledged]
    stored = await _by_key(connection, "select key, answer from idempotency_keys where key = any($1)", keys)
    journaled = await _by_key(
        connection,
        "select idempotency_key as key, seq, kind from input_journal where idempotency_key = any($1)",
        keys,
    )
    for each in acknowledged:
        if each.key not in stored:
            raise Violated(f"key {each.key} was answered {each.answer}; the database does not know it")
        kept = Answer.from_json(stored[each.key]["answer"])
        if kept != each.answer:
            raise Violated(f"key {each.key} was answered {each.answer}; the database has {kept}")
        if each.answer.status != "DONE" and each.answer.seq < 0:  # it was not taken
            continue
        row = journaled.get(each.key)
        if row is None or (row["seq"], row["kind"]) != (each.answer.seq, each.kind):
            raise Violated(f"key {each.key} was answered {each.answer}; the journal has {row and tuple(row)}")


async def _by_key(connection: asyncpg.Connection, sql: str, keys: list[str]) -> dict[str, Any]:
    return {row["key"]: row for row in await connection.fetch(sql, keys)}


async def _all_committed_first(connection: asyncpg.Connection, asked: Sequence[str]) -> None:
    """Raise unless each request at the venue was committed before it left, and left once."""
    if len(set(asked)) != len(asked):
        raise Violated(f"{len(asked) - len(set(asked))} orders went to the venue twice")
    known = await connection.fetch("select cloid from venue_orders where cloid = any($1)", list(asked))
    unknown = set(asked) - {row["cloid"] for row in known}
    if unknown:
        raise Violated(f"the venue was asked for {sorted(unknown)[0]}, of which the database knows nothing")
