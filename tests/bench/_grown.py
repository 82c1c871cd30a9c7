"""Make books of any length in minutes: some days taken by a real machine, and then the same day again and again.

Real are the opening, 20 000 users with 20 000 standing positions and 2 000 waiting orders, the first four days of
trading, and whatever is traded afterwards: all taken by a ``Machine`` and committed by a ``Writer``. A day ends as
it began but for ids, times and balances. So the values of the days between follow from those of the third day and
how far they are from the second's. Links, digests of routing records and the audit log are computed anew. The
fourth day, which the machine took as well, must come out of the second and third in the same way, every row of it
and the whole state. Answers to commands are left out: they are deleted after a day.
"""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

import asyncpg
import msgspec
from _later_rows import ORDERED_BY, insert_later, staged
from _moved import Text, moved
from _steady_days import Trading

from live.ledger.batch import Batch
from live.ledger.hashing import Field, link, plain, row_digest
from live.ledger.machine import Machine
from live.ledger.recovery import recover, state_rows
from live.ledger.rows import AuditRow, InputRow
from live.ledger.rows_trading import RoutingRecordRow
from live.ledger.snapshots import Snapshot, store_snapshot
from live.ledger.writer import Writer
from risk import frozen
from risk.book import Book
from risk.settings import DAY_NS
from tests.live.books import books_options
from tests.risk.book_builder import START_NS, D

FIRST_MOVED = 4  # days before it are real
_BESIDE = (
    ("journal", "book_events", "fills"),
    ("balance_logs", "orders", "positions", "funding_settlements"),
)
_UNIT = "\x1f"


class Day(NamedTuple):
    """A day as it was taken: its inputs, its routing decisions, its audit log, and the state at its end."""

    first: int  # its first input
    inputs: list[InputRow]
    routed: list[RoutingRecordRow]
    audited: list[AuditRow]
    end: Snapshot


async def grow(dsn: str, days: int) -> Machine:
    """Fill a migrated database with ``days`` days of trading; return the machine as it stands after them."""
    connection = await asyncpg.connect(dsn)
    writer = await Writer.claim(connection, "bench")
    options = books_options(
        {"max_channel_silence_ns": DAY_NS, "order_expiry_ns": DAY_NS // 2}, normal_threshold=D("1e9")
    )
    await writer.prepare_months(START_NS, START_NS + (days + 40) * DAY_NS)
    trading = Trading(Machine(options, START_NS), writer)
    await trading.found()
    await trading.day(0)
    second, third, fourth = [await _taken(trading, number) for number in range(1, FIRST_MOVED)]
    await connection.execute("analyze")
    later = _Later(second, third)
    await _hold_out(connection, later, fourth)
    count = days - FIRST_MOVED
    sides = [insert_later(dsn, later.inputs_of_days, tables, range(2, count + 2)) for tables in _BESIDE]
    await asyncio.gather(_write_later(writer, later, count), *sides)
    machine = later.end(count + 1, writer.link).machine()
    await _write_state(writer, machine)
    await store_snapshot(connection, Snapshot.of(machine))
    found = await recover(connection, writer.seq)
    await connection.close()
    return found


async def _taken(trading: Trading, number: int) -> Day:
    """Have a day traded, and keep what it consists of."""
    first, writer = trading.machine.seq + 1, trading.writer
    inputs, routed, audited = list[InputRow](), list[RoutingRecordRow](), list[AuditRow]()
    commit = writer.commit

    async def keep(batch: Batch, seq: int, link_: bytes) -> None:
        inputs.extend(batch.appended[InputRow])
        routed.extend(batch.appended[RoutingRecordRow])
        audited.extend(batch.audit)
        await commit(batch, seq, link_)

    writer.commit = keep  # type: ignore[method-assign]
    await trading.day(number)
    writer.commit = commit  # type: ignore[method-assign]
    return Day(first, inputs, routed, audited, Snapshot.of(trading.machine))


class _Later:
    """Make later days out of two: inputs, routing records, audit log and state here, other rows in SQL."""

    def __init__(self, before: Day, day: Day) -> None:
        self.before, self.day = before, day
        self.inputs_of_days = (before.first, before.end.seq), (day.first, day.end.seq)
        self._inputs = _texts(before.inputs, day.inputs, lambda row: row[:-1])
        timed = zip(before.routed, day.routed, strict=True)  # the third day's times are the later ones', too
        routed = [old._replace(latency_ns=new.latency_ns) for old, new in timed]
        self._routed = _texts(routed, day.routed, lambda row: row[:-1])
        self._audited = _texts(
            before.audited, day.audited, lambda row: (*row[:3], row.detail[:-64], *row[4:])
        )

    def batch(self, later: int, previous: bytes) -> tuple[Batch, int, bytes]:
        """Return what the writer writes of a later day, its last input and its link, after the link ``previous``."""
        batch, seq = Batch(), 0
        for text in self._inputs:
            number, ts, kind, key, body = text.at(later).split(_UNIT)
            seq = int(number)
            previous = link(previous, number, ts, kind, key, body)
            batch.append(InputRow(seq, int(ts), kind, key or None, body, previous))
        digests: dict[int, bytes] = {}
        for text, kept in zip(self._routed, self.day.routed, strict=True):
            given = text.at(later).split(_UNIT)
            row = kept._replace(
                id=int(given[0]),
                order_id=given[1],
                seq=int(given[-2]),
                ts=int(given[-1]),
                digest=row_digest(given),
            )
            digests[row.id] = row.digest
            batch.append(row)
        for text in self._audited:
            actor, action, subject, records, at, ts = text.at(later).split(_UNIT)
            first, last = map(int, records.split())
            whole = sha256(b"".join(digests[number] for number in range(first, last + 1))).hexdigest()
            batch.audit.append(AuditRow(actor, action, subject, f"{first} {last} {whole}", int(at), int(ts)))
        return batch, seq, previous

    def end(self, later: int, last_link: bytes) -> Snapshot:
        """Return the state at a later day's end."""
        before, held = self.before.end.machine(), self.day.end.machine()
        states = [moved(old, new, later) for old, new in zip(_states(before), _states(held), strict=True)]
        book = frozen.freeze(moved(before.book._core, held.book._core, later), held.book.opening_events)
        state = msgspec.msgpack.encode((book, *states, held.halted))
        seq, now = moved(before.seq, held.seq, later), moved(before.now, held.now, later)
        return Snapshot(seq, now, self.day.end.version, Book.thaw(book).digest(), last_link, state)


def _texts(before: list[Any], day: list[Any], pick: Callable[[Any], Any]) -> list[Text]:
    return [
        Text.of(_UNIT.join(map(_plain, pick(old))), _UNIT.join(map(_plain, pick(new))))
        for old, new in zip(before, day, strict=True)
    ]


def _plain(value: Field) -> str:
    if value is None:
        return ""
    return plain(value) if hasattr(value, "as_tuple") else str(value)  # type: ignore[arg-type]


def _states(machine: Machine) -> tuple[Any, ...]:
    return machine.money.state, machine.trading.state, machine.house.state, machine.users.state


async def _write_later(writer: Writer, later: _Later, count: int) -> None:
    """Write what links and digests depend on of ``count`` days after the last real one."""
    for number in range(count):
        batch, seq, link_ = later.batch(number + 2, writer.link)
        await writer.commit(batch, seq, link_)
        await asyncio.sleep(0)


async def _write_state(writer: Writer, machine: Machine) -> None:
    """Write the rows that can still change as a machine has them."""
    batch = Batch()
    for _, _, rows in state_rows(machine):
        for row in rows.values():
            batch.replace(row)
    await writer.commit(batch, writer.seq, writer.link)


async def _hold_out(connection: asyncpg.Connection, later: _Later, day: Day) -> None:
    """Raise ValueError unless a day that was taken is the one that is made."""
    batch, seq, link_ = later.batch(1, later.day.end.link)
    routed = [[_unmeasured(row) for row in rows] for rows in (batch.appended[RoutingRecordRow], day.routed)]
    _must_be_same("input_journal", batch.appended[InputRow], day.inputs)
    _must_be_same("routing_records", *routed)
    _must_be_same("last link", [(seq, link_)], [(day.end.seq, day.end.link)])
    made_end, taken_end = later.end(1, link_), day.end
    _must_be_same("digest", [made_end.digest], [taken_end.digest])
    for made_rows, taken_rows in zip(
        state_rows(made_end.machine()), state_rows(taken_end.machine()), strict=True
    ):
        _must_be_same(made_rows[0], list(made_rows[2].values()), list(taken_rows[2].values()))
    for table in ORDERED_BY:
        made_sql = (await staged(connection, later.inputs_of_days, table)).replace("$1", "1")
        taken_sql = f"select * from {table} where seq between {day.first} and {day.end.seq}"
        for these, those in ((made_sql, taken_sql), (taken_sql, made_sql)):
            rows = await connection.fetch(f"(({these}) except ({those})) limit 1")
            _must_be_same(table, [dict(row) for row in rows], [])
        await connection.execute(f"drop table staged_{table}")


def _unmeasured(row: RoutingRecordRow) -> RoutingRecordRow:
    return row._replace(latency_ns=0, digest=b"")


def _must_be_same(what: str, made: list[Any], taken: list[Any]) -> None:
    if made != taken:
        first = next(
            (pair for pair in zip(made, taken, strict=False) if pair[0] != pair[1]), (made[:1], taken[:1])
        )
        raise ValueError(f"{what}: the day was made {first[0]}, but taken {first[1]}")
